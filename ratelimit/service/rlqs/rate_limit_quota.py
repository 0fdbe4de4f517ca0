"""RateLimitQuotaService: Envoys report what they allowed and denied, and are told what they may.

    report ─► stream.py ─► bindings.py: bucket id ─► limit ─► ledger.report
    ledgers.py: ticks ─► pushes ─► stream.py ─► response, and a PING behind it ─► ledger.acked

The service has what all streams share: the configuration, the ledgers, the bounds. What is divided, and how, is the
quota floor's.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from math import inf
from typing import Any

import grpc

from ratelimit.descriptors.tree import Config
from ratelimit.errors import RpcError
from ratelimit.metrics import Metrics, QuotaStats
from ratelimit.quota.ledger import Ledger
from ratelimit.quota.ledger_store import LedgerStore, SharedPlace
from ratelimit.quota.options import TUNING
from ratelimit.quota.shared_ledger import SharedLedger
from ratelimit.service.rlqs.bindings import Shared
from ratelimit.service.rlqs.ledgers import Ledgers, QuotaLedger
from ratelimit.service.rlqs.limits import Divided, LedgerKey, name_of
from ratelimit.service.rlqs.messages import QUOTA_METHOD, QUOTA_SERVICE_NAME
from ratelimit.service.rlqs.stream import QuotaStream
from ratelimit.service.rlqs.view import bucket_share
from ratelimit.settings import QuotaSettings


class RateLimitQuotaService:
    """Made inside the running event loop. Ledgers are shared with other replicas in `store`, or this process's own."""

    def __init__(self, settings: QuotaSettings, metrics: Metrics, store: LedgerStore | None = None) -> None:
        stats = metrics.quota = QuotaStats()
        self._settings = settings
        self._stats = stats
        self._store = store
        self._started_s = asyncio.get_running_loop().time()
        self.replica = secrets.token_hex(6)
        most = settings.rlqs_domain_buckets_max
        self.ledgers = Ledgers(self._make_ledger, most, stats, metrics.shares.add, self.replica)
        self._shared = Shared(settings, stats, self.ledgers, inf if store is None else TUNING.ttl_s)
        self._streams = count(1)

    @property
    def handler(self) -> grpc.GenericRpcHandler:
        """What a server registers: messages as bytes, which are counted before they are read."""
        method: Any = grpc.stream_stream_rpc_method_handler(self.stream)
        return grpc.method_handlers_generic_handler(QUOTA_SERVICE_NAME, {QUOTA_METHOD: method})

    def swap(self, config: Config) -> None:
        """Put a configuration in force: streams look their buckets up anew at their next report."""
        self._shared.config = config
        self._shared.generation += 1

    def shares(self) -> Iterator[tuple[LedgerKey, Callable[[int], dict[str, Any]]]]:
        """Of each bucket its domain and entries, and what makes its value (view.py), with so many Envoys."""
        for bucket in list(self.ledgers):
            yield bucket.divided.key, partial(bucket_share, bucket, asyncio.get_running_loop().time())

    def close(self) -> None:
        """Nothing is told any more."""
        self.ledgers.close()

    async def stream(self, requests: Any, context: Any) -> None:
        """StreamRateLimitQuotas."""
        stats, settings = self._stats, self._settings
        if stats.streams_active >= settings.rlqs_streams_max:
            stats.streams_refused += 1
            self._shared.tell_once("a stream of an Envoy is refused, RLQS_STREAMS_MAX are open", peer=context.peer())
            reason = f"{settings.rlqs_streams_max} streams are open"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
        stats.streams_total += 1
        stats.streams_active += 1
        stream = QuotaStream(self._shared, context, f"~{self.replica}-{next(self._streams)}")
        try:
            await stream.run(requests)
        except RpcError as error:
            stats.streams_broken += 1
            told = {"envoy": stream.name, "peer": context.peer()}
            self._shared.tell_once(f"the stream of an Envoy is ended, {error.details}", **told)
            await context.abort(grpc.StatusCode[error.grpc_status.name], error.details)
        finally:
            stream.close()
            stats.streams_active -= 1

    def _make_ledger(self, divided: Divided, wake: Callable[[], None]) -> QuotaLedger:
        # Assignments of a process that was here before may be in force for as long as one lasts.
        learn_until_s = self._started_s + TUNING.ttl_s
        if self._store is None:
            return Ledger(divided.options, learn_until_s, replica=self.replica)
        place = SharedPlace(self._store, name_of(divided.key), self.replica)
        return SharedLedger(divided.options, place, learn_until_s, wake)
