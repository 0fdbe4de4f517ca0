"""A quota service with Envoys on streams that only note what they are told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.metrics import Metrics, QuotaStats
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from ratelimit.service.rlqs.ledgers import BucketLedger
from ratelimit.service.rlqs.rate_limit_quota import RateLimitQuotaService
from ratelimit.settings import QuotaSettings

PROD = ("name", "prod", 1, 0)
CONFIG = """domain: d
descriptors:
  - {key: name, value: prod, rate_limit: {unit: second, requests_per_unit: 100}, quota_assignment: {weights: {edge: 2}}}
  - {key: name, value: free, rate_limit: {unlimited: true}}
  - {key: name, value: none, rate_limit: {unit: second, requests_per_unit: 0}}
  - {key: name, value: watched, shadow_mode: true, rate_limit: {unit: second, requests_per_unit: 5}}
  - {key: name, value: exact, rate_limit: {unit: second, requests_per_unit: 5}, quota_assignment: {exact: true}}
  - {key: user, rate_limit: {unit: minute, requests_per_unit: 6000}}
  - {key: ip, value: 10.*, share_threshold: true, rate_limit: {unit: second, requests_per_unit: 100}}
"""


def report(*usages: tuple[str, str, int, int], domain: str = "d", elapsed_s: int = 0) -> bytes:
    """A message: of each usage the key and value of its bucket, and what was allowed and denied."""
    message = rlqs_pb2.RateLimitQuotaUsageReports(domain=domain)
    for key, value, allowed, denied in usages:
        usage = message.bucket_quota_usages.add(num_requests_allowed=allowed, num_requests_denied=denied)
        usage.bucket_id.bucket[key] = value
        usage.time_elapsed.seconds = elapsed_s
    return message.SerializeToString()


class AbortedError(Exception):
    """What `abort` leaves a method by."""


class Envoy:
    """One stream: a context of the service's, and its other end."""

    def __init__(self, service: RateLimitQuotaService, metadata: Mapping[str, str] | None = None) -> None:
        self.aborted: tuple[grpc.StatusCode, str] | None = None
        self.written: list[Any] = []
        self.reads = True
        self._metadata = metadata or {}
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._news = asyncio.Event()
        self._readers: list[asyncio.Future[None]] = []
        self._task = asyncio.ensure_future(service.stream(self._requests(), self))

    def invocation_metadata(self) -> Any:
        """As a context's."""
        return tuple(self._metadata.items())

    def peer(self) -> str:
        """As a context's."""
        return "ipv4:192.0.2.1:1"

    async def write(self, message: bytes) -> None:
        """As a context's; it does not return while the Envoy does not read."""
        self.written += rlqs_pb2.RateLimitQuotaResponse.FromString(message).bucket_action
        self._news.set()
        while not self.reads:  # noqa: ASYNC110 - a test ends it
            await asyncio.sleep(0.001)

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        """As a context's."""
        self.aborted = code, details
        raise AbortedError

    def send(self, message: bytes) -> None:
        """A report."""
        self._messages.put_nowait(message)

    async def told(self, message: bytes = b"") -> Any:
        """The next action, after a report."""
        if message:
            self.send(message)
        while not self.written:
            self._news.clear()
            await self._news.wait()
        return self.written.pop(0)

    async def end(self) -> None:
        """The stream is over; what its method raised, if not `abort`."""
        self._messages.put_nowait(None)
        await self.over()

    async def over(self) -> None:
        """Wait for the end."""
        (left,) = await asyncio.gather(self._task, return_exceptions=True)
        if isinstance(left, BaseException) and not isinstance(left, AbortedError):
            raise left

    async def _requests(self) -> AsyncIterator[bytes]:
        while (message := await self._messages.get()) is not None:
            yield message


class PingedEnvoy(Envoy):
    """One whose context knows what was read: at once, unless the test holds it back."""

    answers = True

    def acknowledged(self) -> "asyncio.Future[None]":
        """As the native transport's."""
        read = asyncio.get_running_loop().create_future()
        self._readers.append(read)
        if self.answers:
            asyncio.get_running_loop().call_soon(self.answer)
        return read

    def answer(self) -> None:
        """The PINGs until now are answered."""
        readers, self._readers = self._readers, []
        for read in readers:
            read.set_result(None)

    def refuse(self) -> None:
        """They never will be."""
        readers, self._readers = self._readers, []
        for read in readers:
            read.cancel()


def quota_service(config: str = CONFIG, store: Any = None, **settings: Any) -> tuple[RateLimitQuotaService, QuotaStats]:
    """A service under a configuration, and its counters."""
    metrics = Metrics()
    service = RateLimitQuotaService(QuotaSettings.model_validate(settings), metrics, store)
    stats = metrics.quota
    assert stats is not None
    if config:
        service.swap(load_config([ConfigFile("f.yaml", config.encode())]))
    return service, stats


async def until(holds: Any) -> None:
    """Let the loop go on until it does."""
    while not holds():  # noqa: ASYNC110 - what is looked at tells nobody
        await asyncio.sleep(0.001)


def ledger_of(service: RateLimitQuotaService) -> BucketLedger:
    """The one ledger there is."""
    (bucket,) = service.ledgers
    return bucket


def listener_of(service: RateLimitQuotaService) -> tuple[str, Any]:
    """The one row there is, and the binding that is told of it."""
    ((row, listener),) = ledger_of(service).listeners.items()
    return row, listener
