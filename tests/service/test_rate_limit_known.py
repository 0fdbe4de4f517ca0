import pytest
import structlog

from tests.service.messages_of import RecordedCall, descriptor, request
from tests.service.test_rate_limit import ASK, Bench


@pytest.mark.parametrize("response", [{}, {"limit_response_headers_enabled": True}, {"shadow_mode": True}])
def test_what_is_known_is_answered_as_if_it_were_counted(response: dict[str, bool]) -> None:
    """Beside each other, with or without the cache, by any way: the same answers, and the metrics of each."""
    told = []
    several = request(descriptor(("k", "v")), descriptor(("k", "w")))
    for cache_bytes in (0, 10_000):
        bench = Bench(cache_bytes=cache_bytes, **response)
        bench.ask_all(several, several, several)
        calls = bench.ask_all(ASK, several, ASK, request(descriptor(("none", "v"))), several)
        stats = bench.metrics.limits["d.k"]
        numbers = (stats.total_hits, stats.over_limit, stats.within_limit, bench.metrics.global_shadow_mode)
        told.append(([call.response for call in calls], numbers))
        assert stats.over_limit_with_local_cache == (6 if cache_bytes else 0)
    assert told[0] == told[1]


def test_a_call_that_cannot_be_answered_leaves_the_others_of_its_plan_alone() -> None:
    """What is known for one call is told to each of them."""
    bench = Bench(cache_bytes=10_000)
    bench.ask_all(ASK, ASK, ASK)
    calls = [RecordedCall() for _ in range(3)]
    calls[1].reply = lambda _: 1 / 0  # type: ignore[assignment, method-assign]
    with structlog.testing.capture_logs():
        bench.service.should_rate_limit(calls, [ASK] * 3)
        bench.loop.run()
    assert [call.error is None for call in calls] == [True, False, True]
    assert bench.metrics.internal_error == 1
