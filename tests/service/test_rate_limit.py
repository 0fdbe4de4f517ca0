from collections.abc import Callable, Sequence

import pytest

from ratelimit.clock import SteppedClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import GrpcStatus, StoreError
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.counter_store import Counted, Hit
from ratelimit.limiter.limiter import Limiter
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import Metrics
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service import rate_limit
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.settings import ResponseSettings
from ratelimit.stores.memory import MemoryStore
from tests.service.messages_of import RecordedCall, descriptor, request

CONFIG = b"domain: d\ndescriptors: [{key: k, rate_limit: {unit: minute, requests_per_unit: 2}}]"
ASK = request(descriptor(("k", "v")))


class Failing(MemoryStore):
    """A store that fails while told to."""

    error: StoreError | Exception | None = None

    def count(self, hits: Sequence[Hit], done: Counted) -> None:
        if isinstance(self.error, StoreError):
            done(self.error)
        elif self.error is not None:
            raise self.error
        else:
            super().count(hits, done)


class Bench:
    """A service that decides at once."""

    def __init__(self, *, reference_error_codes: bool = False, shadow_mode: bool = False) -> None:
        self.metrics, clock = Metrics(), SteppedClock()
        self.store = Failing(clock)

        self.later: Callable[[], None] = lambda: None

        def now(callback: Callable[[], None]) -> None:
            self.later = callback

        self.service = RateLimitService(
            Limiter(self.store, clock, now, OverLimitCache(0)),
            Planner(exact_counter),
            self.metrics,
            ResponseSettings(shadow_mode=shadow_mode),
            reference_error_codes=reference_error_codes,
        )
        self.load(CONFIG)

    def load(self, text: bytes) -> None:
        """Swap a configuration in."""
        self.service.swap(load_config([ConfigFile("f", text)]))

    def ask(self, message: bytes = ASK) -> RecordedCall:
        """One call, ended."""
        call = RecordedCall()
        self.later = lambda: None
        self.service.should_rate_limit([call], [message])
        self.later()
        return call


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


def test_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unique values cannot grow it."""
    monkeypatch.setattr(rate_limit, "PLANS_MAX", 3)
    bench = Bench()
    for number in range(10):
        bench.ask(request(descriptor(("k", str(number)))))
    snapshot = bench.service._snapshot
    assert snapshot is not None
    assert 0 < len(snapshot.plans) <= 3


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


def test_a_bad_request_ends_only_itself() -> None:
    """The others of the same read are answered."""
    bench, bad, good = Bench(), RecordedCall(), RecordedCall()
    bench.service.should_rate_limit([bad, good], [request(domain=""), ASK])
    bench.later()
    assert bad.error is not None
    assert bad.error.details == "rate limit domain must not be empty"
    assert good.response is not None
    assert bench.metrics.service_error == 1


def test_without_a_configuration_every_call_fails() -> None:
    """With the reference's words."""
    bench = Bench()
    bench.service._snapshot = None
    error = bench.ask().error
    assert error is not None
    assert error.details == "no rate limit configuration loaded"
    assert bench.service.config is None


def test_the_unexpected_ends_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of ours is INTERNAL for that call, and no exception escapes."""
    bench = Bench()
    monkeypatch.setattr(rate_limit, "parse_request", lambda _: 1 / 0)
    error = bench.ask().error
    assert error is not None
    assert error.grpc_status is GrpcStatus.INTERNAL
