"""The buckets of one stream: which limit each comes to, and what is told where no ledger divides it."""

import asyncio
import hashlib
from collections.abc import Mapping
from math import inf
from typing import Any, Protocol

import structlog

from ratelimit.descriptors.tree import Config
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.metrics import QuotaStats
from ratelimit.quota.assignment import Abandon, Action, Assign, Push
from ratelimit.quota.ledger import ABANDON_AFTER
from ratelimit.quota.options import AckMode
from ratelimit.service.rlqs.acks import Given, is_more_than
from ratelimit.service.rlqs.ledgers import BucketLedger, Ledgers
from ratelimit.service.rlqs.limits import Divided, find
from ratelimit.service.rlqs.messages import Blanket, assigned, entries_of
from ratelimit.service.rlqs.order import Order
from ratelimit.service.rlqs.places import Places
from ratelimit.settings import QuotaSettings

# What is told without a ledger holds for so long, and is told again when a part of that has passed.
BLANKET_TTL_S, BLANKET_RENEWED_S, ABANDONED_AGAIN_S = 60, 20.0, 1.0
TOLD_MAX = 50

_log = structlog.get_logger(__name__)


class Shared:
    """What the streams of one process share. `rows` counts, by domain, the buckets of all of them.

    `lease_s` is how long a report may be answered by what was told with the one before.
    """

    def __init__(self, settings: QuotaSettings, stats: QuotaStats, ledgers: Ledgers, lease_s: float) -> None:
        self.lease_s = lease_s
        self.settings = settings
        self.stats = stats
        self.ledgers = ledgers
        self.config: Config | None = None
        self.generation = 0
        self.rows: dict[str, int] = {}
        # One report at a time, a piece of it in each turn of the event loop: with pieces of a hundred in one, ledgers
        # and other calls would come to their right twice a second, and all reports would be taken for as long as all.
        self.taking = asyncio.Lock()
        self._told: set[str] = set()

    def tell_once(self, what: str, **fields: Any) -> None:
        """Log the first of its kind; the others are only counted."""
        if what not in self._told and len(self._told) < TOLD_MAX:
            self._told.add(what)
            _log.warning(f"{what}; more of the same are only counted", **fields)


class Binding:
    """A bucket of this stream that a ledger divides. `listens`: it is who is told of its row.

    `told` is what it was told last, `part` that as a part of a response; `place` is where its reports are noted.
    `given` is there while a report can show whether it obeys.
    """

    __slots__ = (
        "bucket",
        "generation",
        "given",
        "ledger",
        "listens",
        "part",
        "place",
        "pushed_s",
        "row",
        "seq",
        "stream",
        "told",
        "weight",
    )

    def __init__(self, stream: "Receiver", bucket: bytes, ledger: BucketLedger, row: str, place: int) -> None:
        self.stream = stream
        self.bucket = bucket
        self.ledger = ledger
        self.row = row
        self.place = place
        self.generation = -1
        self.weight = 1.0
        self.seq = 0
        self.pushed_s = inf
        self.given: Given | None = None
        self.listens = False
        self.told: Action | None = None
        self.part = b""

    def push(self, push: Push) -> None:
        """Send a push of its ledger."""
        self.stream.push(self, push)

    def tell(self, action: Assign | Abandon) -> bytes:
        """What it is told now, as a part of a response. Ledgers say the same again with the same object."""
        if action is not self.told:
            if action != self.told:
                self.part = assigned(self.bucket, action)
            self.told = action
        return self.part

    @property
    def sure_per_s(self) -> float:
        """Up to which rate what it allows contradicts nothing; below 0 where each report is to be looked at."""
        told = self.told
        if self.given is not None or not isinstance(told, Assign):
            return -1.0
        return told.tokens_per_fill / told.fill_interval_s

    def begin_anew(self, now_s: float) -> None:
        """It is a new bucket, or one that had to do without us: nothing is in force there."""
        self.given, self.told = Given(None, now_s), None

    def contradicts(self, allowed: int, elapsed_s: float, now_s: float) -> bool:
        """Whether a report of so much shows that what was told did not arrive, although a PING behind it did."""
        given = self.given
        if given is None:
            return isinstance(self.told, Assign) and is_more_than(self.told, allowed, elapsed_s)
        contradicts = given.reported(allowed, now_s)
        if given.over:
            self.given = None
        return contradicts

    def written(self, before: Action | None, action: Action, reported_s: float, now_s: float) -> None:
        """It was told something else than before: from now on, not from when that began to wait."""
        if self.given is None:
            self.given = Given(before, reported_s)
        self.given.told(action, now_s)


class Receiver(Protocol):
    """A stream."""

    def push(self, binding: Binding, push: Push) -> None:
        """Send what a bucket of it is told; never blocks."""

    def displace(self) -> None:
        """Take in that another stream says that it is this Envoy, and is told of a row from now on."""

    @property
    def open(self) -> bool:
        """Whether it is not over."""


class Answered:
    """A bucket of this stream that is told a rule without a ledger."""

    __slots__ = ("generation", "rule", "told_s", "zero")

    def __init__(self, rule: Blanket, generation: int) -> None:
        self.rule = rule
        self.generation = generation
        self.told_s = float("-inf")
        self.zero = 0


class Bindings:
    """What one stream has, and how it is called in ledgers: `name`. `ack` is how its ledgers know that Envoys obey."""

    def __init__(self, shared: Shared, receiver: Receiver, ack: AckMode) -> None:
        self._shared = shared
        self._receiver = receiver
        self._ack = ack
        self._loop = asyncio.get_running_loop()
        self.name = ""
        # The class of the Envoy, for weights.
        self.kind = ""
        self.domain = ""
        self.places = Places(shared.lease_s)
        self._generation = -1
        self._bindings: dict[bytes, Binding] = {}
        self._answered: dict[bytes, Answered] = {}

    @property
    def known(self) -> Mapping[bytes, Binding]:
        """The buckets that have a ledger, under whatever configuration that was found."""
        return self._bindings

    def look_anew(self) -> None:
        """Take the configuration in force into account: where that changed, each bucket is looked up again."""
        if self._generation != self._shared.generation:
            self._generation = self._shared.generation
            self.places.order = None

    def sit_in_order(self, order: Order) -> None:
        """Give its buckets the first places, if each has a ledger: then what is noted of them is written at once.

        All buckets of the stream change their places, so it has to be the order of most of them.
        """
        before, places, bindings, buckets = self.places, Places(self._shared.lease_s), self._bindings, order.buckets
        found = [bindings.get(bucket) for bucket in buckets]
        if (
            not all(each is not None and self.is_current(each) for each in found)
            or len(set(buckets)) < len(buckets)
            or 2 * len(buckets) < len(bindings)
        ):
            return
        for bucket in dict.fromkeys((*buckets, *bindings)):
            binding = bindings[bucket]
            was, moment = binding.place, before.at_s[binding.place]
            binding.place = place = places.add(binding.ledger.number, moment)
            places.parts[place], places.sure_per_s[place] = before.parts[was], before.sure_per_s[was]
            if binding.listens:
                binding.ledger.ledger.sit(binding.row, places, place, moment)
        places.order, self.places = order, places
        # They are kept, and need not be held twice.
        buckets[:] = [binding.bucket for binding in found if binding is not None]

    def take_reports_for_acks(self) -> None:
        """The reports of this stream are acknowledgements from now on: its ledgers are not to wait for others."""
        self._ack = AckMode.REPORT
        for binding in self._bindings.values():
            self._shared.ledgers.take_reports_for_acks(binding.ledger)

    def is_current(self, binding: Binding) -> bool:
        """Whether it may be reported without a look at the configuration in force, and is who is told."""
        return binding.listens and binding.generation == self._shared.generation

    def current(self, bucket: bytes) -> Binding | None:
        """The binding under the configuration in force; None where no ledger divides the bucket. Raises RpcError."""
        binding = self._bindings.get(bucket)
        if binding is None or binding.generation != self._shared.generation:
            binding = self._bind(bucket, binding)
        return binding

    def rule(self, bucket: bytes, requests: int, now_s: float) -> Blanket | None:
        """What a bucket without a ledger is told after a report of so many requests; None for nothing now."""
        answered = self._answered[bucket]
        answered.zero = 0 if requests else answered.zero + 1
        if answered.zero >= ABANDON_AFTER:
            del self._answered[bucket]
            return Blanket.ABANDON
        wait_s = ABANDONED_AGAIN_S if answered.rule is Blanket.ABANDON else BLANKET_RENEWED_S
        if now_s - answered.told_s < wait_s:
            return None
        answered.told_s = now_s
        return answered.rule

    def forget(self, bucket: bytes) -> None:
        """The stream has this bucket no more."""
        self.places.remove(self._bindings.pop(bucket).place)
        shared = self._shared
        shared.stats.rows -= 1
        shared.rows[self.domain] -= 1
        if not shared.rows[self.domain]:
            del shared.rows[self.domain]

    def leave_all(self) -> None:
        """The stream is over, or another name is taken."""
        for bucket in list(self._bindings):
            self._leave(bucket)

    def _bind(self, bucket: bytes, before: Binding | None) -> Binding | None:
        """Look a bucket up under the configuration in force; None where it has no ledger. Raises RpcError."""
        shared, config = self._shared, self._shared.config
        answered = self._answered.get(bucket)
        if config is None or (answered is not None and answered.generation == shared.generation):
            return None
        found = find(config, self.domain, entries_of(bucket), self._ack)
        if isinstance(found, Divided) and before is None:
            self._check_room()
        ledger = self._ledger_of(found, before) if isinstance(found, Divided) else None
        if ledger is None or not isinstance(found, Divided):
            self._leave(bucket)
            self._answer(bucket, found)
            return None
        self._answered.pop(bucket, None)
        weight = found.limit.quota_assignment.weights.get(self.kind, 1.0)
        binding = before
        if binding is None or binding.ledger is not ledger:
            self._leave(bucket)
            row = f"{self.name}#{hashlib.blake2b(bucket, digest_size=8).hexdigest()}" if found.shared else self.name
            place = self.places.add(ledger.number, -inf)
            self._bindings[bucket] = binding = Binding(self._receiver, bucket, ledger, row, place)
            shared.rows[self.domain] = shared.rows.get(self.domain, 0) + 1
            shared.stats.rows += 1
        elif binding.weight != weight:
            ledger.ledger.weigh(binding.row, weight)
        binding.generation, binding.weight = shared.generation, weight
        return binding

    def _check_room(self) -> None:
        """Raises RpcError where the stream has too many buckets: of those without a ledger the oldest make room."""
        most = self._shared.settings.rlqs_stream_buckets_max
        if len(self._bindings) >= most:
            raise RpcError(GrpcStatus.RESOURCE_EXHAUSTED, f"more than {most} buckets in one stream")

    def _ledger_of(self, found: Divided, before: Binding | None) -> BucketLedger | None:
        """The ledger of a limit; None where its domain has too much of what is bounded."""
        shared = self._shared
        settings, domain = shared.settings, self.domain
        full = before is None and shared.rows.get(domain, 0) >= settings.rlqs_domain_rows_max
        ledger = None if full else shared.ledgers.get(found)
        if ledger is None:
            shared.stats.buckets_refused += 1
            shared.tell_once("a domain has more buckets than it may: the others are not divided", domain=domain)
        return ledger

    def _answer(self, bucket: bytes, found: Divided | Blanket | None) -> None:
        """Note what a bucket without a ledger is told; the oldest make room."""
        shared, settings = self._shared, self._shared.settings
        if isinstance(found, Blanket):
            rule = found
        elif shared.config is not None and not shared.config.has_domain(self.domain):
            shared.stats.unknown_domains += 1
            rule = Blanket(settings.rlqs_unknown_domain)
        else:
            shared.stats.unknown_buckets += found is None
            rule = Blanket(settings.rlqs_unknown_bucket)
        self._answered[bucket] = Answered(rule, shared.generation)
        if len(self._answered) > settings.rlqs_stream_buckets_max:
            del self._answered[next(iter(self._answered))]

    def _leave(self, bucket: bytes) -> None:
        """The same, and its ledger hears that the Envoy is not there any more."""
        binding = self._bindings.get(bucket)
        if binding is None:
            return
        ledger = binding.ledger
        if binding.listens:
            del ledger.listeners[binding.row]
            ledger.ledger.closed(binding.row, self._loop.time())
            self._shared.ledgers.touched(ledger)
        self.forget(bucket)
