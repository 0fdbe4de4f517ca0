import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.clock import SteppedClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import GrpcStatus, RpcError, StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import DecisionRules
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import Metrics
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service import rate_limit
from ratelimit.service.rate_limit import RateLimitService, Rules
from ratelimit.settings import ResponseSettings
from ratelimit.stores.memory import MemoryStore
from tests.limiter.plans import NOW
from tests.limiter.test_limiter import Loop
from tests.service.messages_of import RecordedCall, descriptor, request

CONFIG = b"domain: d\ndescriptors: [{key: k, rate_limit: {unit: minute, requests_per_unit: 2}}]"
ASK = request(descriptor(("k", "v")))


class Failing(MemoryStore):
    """A store that fails hits while told to."""

    error: StoreError | None = None

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        if self.error is not None:
            done([self.error] * len(batch.hits))
        else:
            super().count(batch, done)


class Bench:
    """A service that decides when its loop runs."""

    def __init__(
        self, store: Any = None, *, reference_error_codes: bool = False, cache_bytes: int = 0, **response: Any
    ) -> None:
        self.metrics, self.clock, self.loop = Metrics(), SteppedClock(NOW), Loop()
        self.store = Failing() if store is None else store
        limiter = Limiter(self.store, self.clock, self.loop, OverLimitCache(cache_bytes), LimiterOptions())
        planner = Planner(exact_counter, lambda key, configured: self.metrics.limit(key, configured=configured))
        self.service = RateLimitService(
            limiter, planner, self.metrics, self.loop.time, reference_error_codes=reference_error_codes
        )
        self.rules = Rules(DecisionRules(), ResponseSettings.model_validate(response))
        self.load(CONFIG)

    def load(self, text: bytes) -> None:
        """Swap a configuration in."""
        self.service.swap(load_config([ConfigFile("f", text)]), self.rules)

    def ask(self, message: bytes = ASK) -> RecordedCall:
        """One call, ended."""
        (call,) = self.ask_all(message)
        return call

    def ask_all(self, *messages: bytes) -> list[RecordedCall]:
        """The calls of one read, ended, each once."""
        calls = [RecordedCall() for _ in messages]
        self.service.should_rate_limit(calls, messages)
        self.loop.run()
        assert [call.ends for call in calls] == [1] * len(calls)
        return calls


def codes(bench: Bench, times: int) -> list[int]:
    """The overall codes of calls in a row."""
    responses = [bench.ask().response for _ in range(times)]
    return [response.overall_code for response in responses if response]


def test_a_limit_is_kept_and_counted_in_the_metrics() -> None:
    """Two are admitted, the third is denied, and the stats say so."""
    bench = Bench()
    assert codes(bench, 3) == [1, 1, 2]
    stats = bench.metrics.limits["d.k"]
    assert (stats.total_hits, stats.within_limit, stats.over_limit) == (3, 2, 1)
    assert bench.metrics.should_rate_limit.total_requests == 3


def test_a_reload_swaps_limits_and_memo_together() -> None:
    """The same bytes reach the new limit at once."""
    bench = Bench()
    assert codes(bench, 3)[-1] == rls_pb2.RateLimitResponse.OVER_LIMIT
    bench.load(CONFIG.replace(b"2", b"9"))
    response = bench.ask().response
    assert response is not None
    assert response.statuses[0].current_limit.requests_per_unit == 9


def test_rules_travel_with_the_configuration() -> None:
    """A reload may change what is answered beside the limits; a request keeps the rules that it came under."""
    bench = Bench()
    bench.rules = Rules(DecisionRules(), ResponseSettings(limit_response_headers_enabled=True))
    (before, after) = RecordedCall(), RecordedCall()
    bench.service.should_rate_limit([before], [ASK])
    bench.load(CONFIG)
    bench.service.should_rate_limit([after], [ASK])
    bench.loop.run()
    assert before.response is not None
    assert after.response is not None
    assert (len(before.response.response_headers_to_add), len(after.response.response_headers_to_add)) == (0, 3)


def test_plans_are_kept() -> None:
    """The same bytes are parsed once, however often they come; a quick plan is kept when they come a second time."""
    bench = Bench()
    looks = [request(descriptor(("k", value), hits_addend={"value": 0})) for value in "vw"]
    bench.ask_all(looks[0], looks[0], looks[1], ASK, ASK, request(descriptor(("k", "w"))))
    snapshot = bench.service._snapshot
    assert snapshot is not None
    assert len(snapshot.plans) == 3
    assert snapshot.plans.get(ASK) is not None


def test_global_shadow_mode_admits_and_tells() -> None:
    """SHADOW_MODE changes only the overall code."""
    bench = Bench(shadow_mode=True)
    last = [bench.ask().response for _ in range(3)][-1]
    assert last is not None
    assert (last.overall_code, last.statuses[0].code) == (1, 2)
    assert bench.metrics.global_shadow_mode == 1


def test_an_unknown_domain_is_admitted_and_counted() -> None:
    """Once per descriptor, as the reference counts it."""
    bench = Bench()
    response = bench.ask(request(descriptor(("k", "v")), descriptor(("k", "w")), domain="other")).response
    assert response is not None
    assert (response.overall_code, len(response.statuses)) == (1, 2)
    assert bench.metrics.domains_not_found == {"other": 2}


@pytest.mark.parametrize(("reference", "status"), [(False, GrpcStatus.UNAVAILABLE), (True, GrpcStatus.UNKNOWN)])
def test_a_store_error_is_unavailable(reference: bool, status: GrpcStatus) -> None:
    """Envoy's failure_mode_deny then decides; GRPC_ERROR_CODES=reference brings UNKNOWN back."""
    bench = Bench(reference_error_codes=reference)
    bench.store.error = StoreError("down")
    error = bench.ask().error
    assert error is not None
    assert (error.grpc_status, error.details) == (status, "down")
    assert bench.metrics.redis_error == 1


def test_bytes_that_are_no_message_are_internal_in_the_reference_too() -> None:
    """GRPC_ERROR_CODES=reference brings UNKNOWN back for errors of the service, not for gRPC's own."""
    bench = Bench(reference_error_codes=True)
    garbled, empty = bench.ask_all(b"\xff", request(domain=""))
    assert garbled.error is not None
    assert empty.error is not None
    assert (garbled.error.grpc_status, empty.error.grpc_status) == (GrpcStatus.INTERNAL, GrpcStatus.UNKNOWN)


def test_a_bad_request_ends_only_itself() -> None:
    """The others of the same read are answered."""
    bench = Bench()
    bad, good = bench.ask_all(request(domain=""), ASK)
    assert bad.error is not None
    assert bad.error.details == "rate limit domain must not be empty"
    assert good.response is not None
    assert bench.metrics.service_error == 1


def test_a_descriptor_that_matches_nothing_stands_beside_one_that_does() -> None:
    """Each has its status, in order."""
    response = (
        Bench().ask(request(descriptor(("none", "v")), descriptor(("k", "v")), descriptor(("none", "w")))).response
    )
    assert response is not None
    assert [status.limit_remaining for status in response.statuses] == [0, 1, 0]
    assert [status.HasField("current_limit") for status in response.statuses] == [False, True, False]


def test_too_much_is_refused_before_it_is_built() -> None:
    """A quarter of a million empty descriptors cost no more than counting the first 65."""
    error = Bench().ask(b"\x12\x00" * 250_000).error
    assert error is not None
    assert (error.grpc_status, error.details) == (
        GrpcStatus.INVALID_ARGUMENT,
        "more than 64 descriptors, at most 64 are allowed",
    )


def test_without_a_configuration_every_call_fails() -> None:
    """With the reference's words."""
    bench = Bench()
    bench.service._snapshot = None
    error = bench.ask().error
    assert error is not None
    assert error.details == "no rate limit configuration loaded"
    assert bench.service.config is None


def test_an_expired_call_is_not_charged() -> None:
    """Its deadline had passed before its hit was sent: DEADLINE_EXCEEDED, and no count."""
    bench = Bench()
    late, later = RecordedCall(deadline=bench.loop.now), RecordedCall()
    bench.service.should_rate_limit([late, later], [ASK, ASK])
    bench.loop.run()
    assert late.error is not None
    assert late.error.grpc_status is GrpcStatus.DEADLINE_EXCEEDED
    assert later.response is not None
    assert later.response.statuses[0].limit_remaining == 1
    assert bench.metrics.deadline_exceeded == 1


def test_the_over_limit_cache_answers_and_counts() -> None:
    """A denial without the store is over_limit and over_limit_with_local_cache."""
    bench = Bench(cache_bytes=1000)
    assert codes(bench, 4) == [1, 1, 2, 2]
    stats = bench.metrics.limits["d.k"]
    assert (stats.over_limit, stats.over_limit_with_local_cache, stats.total_hits) == (2, 1, 4)


def test_limits_that_share_a_counter_are_counted_apart() -> None:
    """Two overrides of one counter in one tick: each adds to the metrics what it would alone."""
    bench = Bench()
    override = rls_pb2.RateLimitRequest().descriptors.add().limit.__class__
    asked = [request(descriptor(("k", "v"), limit=override(requests_per_unit=most, unit=2))) for most in (1, 9)]
    told = [call.response for call in bench.ask_all(asked[0], asked[1], asked[0])]
    assert [each.overall_code for each in told if each is not None] == [1, 1, 2]
    stats = bench.metrics.limits["d.k_v"]
    assert (stats.total_hits, stats.within_limit, stats.over_limit) == (3, 2, 1)


def test_a_defect_while_planning_ends_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is INTERNAL for that call, logged once and counted; no exception escapes."""
    bench = Bench()
    bench.ask()
    monkeypatch.setattr(rate_limit, "parse_request", lambda _: 1 / 0)
    with structlog.testing.capture_logs() as logs:
        first, known, second = bench.ask_all(request(hits_addend=1), ASK, request(hits_addend=2))
    assert [each.error.grpc_status for each in (first, second) if each.error] == [GrpcStatus.INTERNAL] * 2
    assert known.response is not None
    assert (len(logs), bench.metrics.internal_error) == (1, 2)


def test_a_defect_while_answering_ends_one_call() -> None:
    """A number that no double can hold in metadata: its neighbours are answered, the store never hears of it."""
    bench = Bench(response_dynamic_metadata=True)
    bench.load(CONFIG)
    snapshot = bench.service._snapshot
    assert snapshot is not None
    node = snapshot.config.domains["d"].children["k"]
    assert node.limit is not None
    object.__setattr__(node.limit, "metadata", {"huge": 10**400})
    bench.service.swap(snapshot.config, bench.rules)
    with structlog.testing.capture_logs() as logs:
        told = bench.ask_all(ASK, request(descriptor(("other", "v"))), ASK)
    assert [each.error is None for each in told] == [False, True, False]
    assert (len(logs), bench.metrics.internal_error, bench.metrics.redis_error) == (1, 2, 0)
    assert bench.metrics.should_rate_limit.total_requests == 3


async def test_whoever_can_wait_is_answered() -> None:
    """`ask` gives the response's message, or raises; it is counted, but as no call over gRPC."""
    bench = Bench()
    asking = asyncio.ensure_future(bench.service.ask(ASK))
    await asyncio.sleep(0)
    bench.service.should_rate_limit([RecordedCall()], [ASK])
    bench.loop.run()
    assert rls_pb2.RateLimitResponse.FromString(await asking).overall_code == rls_pb2.RateLimitResponse.OK
    with pytest.raises(RpcError, match="not a RateLimitRequest"):
        await bench.service.ask(b"\xff")
    assert bench.metrics.should_rate_limit.total_requests == 1
    assert bench.metrics.service_error == 1


@given(st.lists(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda rest: ASK + rest)), max_size=5))
def test_every_message_is_answered_once(messages: list[bytes]) -> None:
    """Whatever bytes come in, each call of the read has one end, and nothing of ours broke."""
    bench = Bench()
    bench.ask_all(*messages)
    assert bench.metrics.internal_error == 0


class Late(MemoryStore):
    """A store without expiry that counts at once and tells later, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[bytes, int] = {}
        self.told_later: list[Callable[[], None]] = []

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        results: list[Counted | StoreError] = []
        for hit in batch.hits:
            count = max(0, self.counts.get(hit.key.name, 0) + hit.amount)
            self.counts[hit.key.name] = count
            results.append(hit.key.algorithm.judge(count, hit.limit, hit.key.reset_s(batch.now)))
        self.told_later.append(lambda: done(results))


KINDS = rb"""
domain: d
descriptors:
  - {key: s, rate_limit: {unit: second, requests_per_unit: 2, name: "\u00e9\U0001F600"}}
  - {key: m, rate_limit: {unit: minute, requests_per_unit: 3}, shadow_mode: true}
  - {key: h, rate_limit: {unit: hour, requests_per_unit: 0}}
  - {key: w, rate_limit: {unit: week, requests_per_unit: 16385}}
  - {key: o, rate_limit: {unit: month, requests_per_unit: 130}, quota_mode: true}
  - {key: y, rate_limit: {unit: year, requests_per_unit: 4294967295}}
  - {key: u, rate_limit: {unlimited: true}}
"""
LIMITS = {key: node.limit for key, node in load_config([ConfigFile("f", KINDS)]).domains["d"].children.items()}
ASKED = st.lists(
    st.tuples(st.sampled_from(("s", "m", "h", "w", "o", "y", "u", "none")), st.integers(-2, 3)), min_size=1, max_size=3
)
# One second before the turn of a minute, an hour or a year, or anywhere.
MOMENTS = st.one_of(st.integers(100, 2**32), st.integers(1, 100).map(lambda year: year * 365 * 86400 - 1))


def expected(asked: list[tuple[str, int]], now: int, counts: dict[tuple[str, int], int]) -> rls_pb2.RateLimitResponse:
    """The answer by the rules, written down once more: one request after the other, and each by itself."""
    response = rls_pb2.RateLimitResponse(overall_code=rls_pb2.RateLimitResponse.OK)
    quotas: list[bool] = []
    for key, amount in asked:
        limit = LIMITS.get(key)
        status = response.statuses.add(code=rls_pb2.RateLimitResponse.OK)
        if limit is None or limit.unlimited:
            status.limit_remaining = 0 if limit is None else 2**32 - 1
            continue
        unit_s, most = limit.unit.seconds, limit.requests_per_unit
        window = (key, now // unit_s)
        counts[window] = count = max(0, counts.get(window, 0) + amount)
        status.current_limit.requests_per_unit, status.current_limit.name = most, limit.name
        status.current_limit.MergeFrom(rls_pb2.RateLimitResponse.RateLimit(unit=limit.unit.wire))
        status.limit_remaining, status.duration_until_reset.seconds = max(0, most - count), unit_s - now % unit_s
        over = count > most and not limit.shadow_mode
        if over:
            status.code = rls_pb2.RateLimitResponse.OVER_LIMIT
        if limit.quota_mode:
            quotas.append(over)
        elif over:
            response.overall_code = rls_pb2.RateLimitResponse.OVER_LIMIT
    if quotas and all(quotas):
        response.overall_code = rls_pb2.RateLimitResponse.OVER_LIMIT
    return response


@settings(max_examples=120, deadline=None)
@given(
    MOMENTS,
    st.lists(st.tuples(st.integers(-2, 61), st.lists(ASKED, max_size=6), st.booleans()), max_size=8),
    st.booleans(),
)
def test_answers_are_right_whatever_turns_while_they_are_under_way(
    start: int, ticks: list[tuple[int, list[list[tuple[str, int]]], bool]], cached: bool
) -> None:
    """Ticks merge hits, the clock steps both ways, windows turn before the store tells: nothing of it is seen.

    Nor of the over-limit cache, as long as nothing is taken back: what it denies is not charged.
    """
    store = Late()
    bench = Bench(store, cache_bytes=10_000 * cached)
    bench.load(KINDS)
    bench.clock.advance(start + 2 - NOW)
    waiting: list[tuple[RecordedCall, rls_pb2.RateLimitResponse]] = []
    counts: dict[tuple[str, int], int] = {}
    for step, drawn, tell in [*ticks, (0, [], True)]:
        bench.clock.advance(step)
        requests = [[(key, abs(amount) if cached else amount) for key, amount in asked] for asked in drawn]
        messages = [
            request(*(descriptor((k, "v"), hits_addend={"value": abs(n)}, is_negative_hits=n < 0) for k, n in asked))
            for asked in requests
        ]
        calls = [RecordedCall() for _ in messages]
        bench.service.should_rate_limit(calls, messages)
        bench.loop.run()
        now = int(bench.clock.now())
        waiting += [(call, expected(asked, now, counts)) for call, asked in zip(calls, requests, strict=True)]
        while tell and store.told_later:
            store.told_later.pop(0)()
    assert [call.response for call, _ in waiting] == [answer for _, answer in waiting]
