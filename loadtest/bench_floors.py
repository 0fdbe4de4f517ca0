"""`make bench-floors`: what a request costs in our own floors, stage by stage, in microseconds. No server, no network.

Calls are handed to the service as a transport would (READS reads of CALLS calls in a tick), a store that does nothing
but count takes the batch, and the answers come back to calls that do nothing. Beside it stands a bare loop: the same
arithmetic, one dictionary look-up, one sum per key, one count and one response per request, with nothing around it. The
two take turns, so the ratio holds where the machine's speed drifts. ROUNDS sizes the run.

stages: submit (bytes -> plans, queued), flush (merge, hits for the store), answer (counts told apart, metrics,
responses, replies)
"""

import gc
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from loadtest.sizes import number_of
from ratelimit.clock import SystemClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import RpcError
from ratelimit.lifetime import GC_THRESHOLDS
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import Metrics
from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.service.status_bytes import varint

LIMIT = 1_000_000_000
READS, CALLS = 4, 32
CONFIG = f"""
domain: bench
descriptors:
{"".join(f"  - {{key: k{n}, rate_limit: {{unit: minute, requests_per_unit: {LIMIT}}}}}" + chr(10) for n in range(10))}
"""


def request(descriptors: int, value: str = "gold") -> bytes:
    """A request of that many descriptors."""
    message = rls_pb2.RateLimitRequest(domain="bench")
    for number in range(descriptors):
        entry = ratelimit_pb2.RateLimitDescriptor.Entry(key=f"k{number}", value=value)
        message.descriptors.append(ratelimit_pb2.RateLimitDescriptor(entries=[entry]))
    return message.SerializeToString()


class NullCall:
    """A call that does nothing with its answer."""

    __slots__ = ("deadline", "waiting")

    def __init__(self) -> None:
        self.deadline = float("inf")
        self.waiting = True

    def reply(self, message: bytes) -> None: ...

    def fail(self, error: RpcError) -> None:
        raise error


class NullStore:
    """A store that counts and keeps nothing; the answer waits until it is asked for."""

    def __init__(self) -> None:
        self.counts: dict[bytes, int] = {}
        self.answer: Callable[[], None] = lambda: None

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        results = []
        for hit in batch.hits:
            name = hit.key.name
            count = self.counts[name] = self.counts.get(name, 0) + hit.amount
            results.append(Counted(count, allowed=True, remaining=hit.limit - count, reset_s=1))
        self.answer = lambda: done(results)


class StepLoop:
    """An event loop of one callback."""

    def __init__(self) -> None:
        self.time = time.monotonic
        self.callback: Callable[[], None] = lambda: None

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Keep it."""
        self.callback = callback


class Floors:
    """The service on a store that does nothing."""

    def __init__(self) -> None:
        self.store, self.loop, metrics = NullStore(), StepLoop(), Metrics()
        limiter = Limiter(self.store, SystemClock(), self.loop, OverLimitCache(0), LimiterOptions())
        planner = Planner(exact_counter, lambda key, configured: metrics.limit(key, configured=configured))
        self.service = RateLimitService(limiter, planner, metrics, self.loop.time)
        self.service.swap(load_config([ConfigFile("bench", CONFIG.encode())]))

    def tick(self, reads: Sequence[tuple[Sequence[Any], Sequence[bytes]]]) -> tuple[int, int, int]:
        """Answer all calls of one tick: the nanoseconds of each stage."""
        start = time.perf_counter_ns()
        for calls, messages in reads:
            self.service.should_rate_limit(calls, messages)
        submitted = time.perf_counter_ns()
        self.loop.callback()
        flushed = time.perf_counter_ns()
        self.store.answer()
        return submitted - start, flushed - submitted, time.perf_counter_ns() - flushed


class BarePlan:
    """What the bare loop knows of a request."""

    __slots__ = ("head", "key", "limit")

    def __init__(self, key: bytes) -> None:
        self.key, self.limit = key, LIMIT
        current = b"\x08" + varint(LIMIT) + b"\x10\x02"
        self.head = b"\x08\x01\x12" + bytes((len(current) + 14,)) + b"\x08\x01\x12" + bytes((len(current),)) + current


class Bare:
    """The same arithmetic with nothing around it: the measuring stick."""

    def __init__(self) -> None:
        self.plans: dict[bytes, BarePlan] = {}
        self.counts: dict[bytes, int] = {}

    def tick(self, reads: Sequence[tuple[Sequence[Any], Sequence[bytes]]]) -> int:
        """Answer all calls of one tick: the nanoseconds."""
        start = time.perf_counter_ns()
        memo, totals = self.plans, dict[bytes, int]()
        calls: list[Any] = []
        plans: list[BarePlan] = []
        for some, messages in reads:
            for call, message in zip(some, messages, strict=True):
                plan = memo.get(message)
                if plan is None:
                    plan = memo[message] = BarePlan(b"bench_%d" % len(memo))
                key = plan.key
                totals[key] = totals.get(key, 0) + 1
                calls.append(call)
                plans.append(plan)
        after = {}
        for key, total in totals.items():
            after[key] = self.counts.get(key, 0)
            self.counts[key] = after[key] + total
        tail = b"\x22\x02\x08" + bytes((60 - int(time.time()) % 60,))
        for call, plan in zip(calls, plans, strict=True):
            key = plan.key
            count = after[key] = after[key] + 1
            if count <= plan.limit:
                call.reply(plan.head + b"\x18" + varint(plan.limit - count) + tail)
        return time.perf_counter_ns() - start


def reads_of(messages: Callable[[], bytes]) -> list[tuple[list[NullCall], list[bytes]]]:
    """The calls of one tick."""
    return [([NullCall() for _ in range(CALLS)], [messages() for _ in range(CALLS)]) for _ in range(READS)]


class Case:
    """A kind of request, measured on both sides; `every`: it is measured in one of that many rounds."""

    def __init__(self, name: str, messages: Callable[[], bytes], *, every: int = 1) -> None:
        self.name = name
        self.every = every
        self._messages = messages
        self._floors, self._bare = Floors(), Bare()
        self._ours: list[tuple[float, ...]] = []
        self._bares: list[float] = []

    def run(self, *, counted: bool) -> None:
        """One tick of ours, and one of the bare loop."""
        reads = reads_of(self._messages)
        stages = self._floors.tick(reads)
        nanoseconds = self._bare.tick(reads)
        if counted:
            self._ours.append(tuple(stage / 1000 / READS / CALLS for stage in stages))
            self._bares.append(nanoseconds / 1000 / READS / CALLS)

    @property
    def whole(self) -> float:
        """The microseconds of a request in our floors, in all."""
        return statistics.median(map(sum, self._ours))

    def row(self) -> str:
        """The table's."""
        stages = [statistics.median(column) for column in zip(*self._ours, strict=True)]
        bare = statistics.median(self._bares)
        cells = "".join(f"{value:>9.2f}" for value in (*stages, self.whole, bare))
        return f"{self.name:<34}{cells}{self.whole / bare:>8.2f}"


def main() -> None:
    """Measure all cases in turns, so that a machine whose speed drifts slows all alike; print the table."""
    try:
        rounds = number_of("ROUNDS", 2000, 20)
    except ValueError as error:
        sys.exit(f"bench-floors: {error}")
    numbers = itertools.count()
    one, ten = request(1), request(10)
    four = [request(1, tier) for tier in ("none", "bronze", "silver", "gold")]
    common = Case("one descriptor, the common case", lambda: one)
    several = Case("ten descriptors", lambda: ten, every=4)
    cases = [
        common,
        Case("one descriptor, four values", lambda: four[next(numbers) % 4]),
        several,
        Case("one descriptor, unique values", lambda: request(1, f"v{next(numbers)}"), every=10),
    ]
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    for number in range(-(rounds // 5), rounds):  # those below 0 warm up
        for case in cases:
            if number % case.every == 0:
                case.run(counted=number >= 0)
    print(f"µs per request, medians of {rounds} ticks of {READS} reads x {CALLS} calls")
    print(f"{'case':<34}{'submit':>9}{'flush':>9}{'answer':>9}{'whole':>9}{'bare':>9}{'ratio':>8}")
    for case in cases:
        print(case.row())
    print(f"ten descriptors / one descriptor: {several.whole / common.whole:.2f}")


if __name__ == "__main__":
    main()
