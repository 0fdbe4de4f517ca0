"""Requests whose hits are their own."""

from typing import Any

import pytest
from google.protobuf.message import Message

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import GrpcStatus, StoreError
from ratelimit.limiter.planner import Grouping
from ratelimit.service.rate_limit import Rules
from ratelimit.settings import ResponseSettings
from tests.service.messages_of import descriptor, request
from tests.service.test_rate_limit import Bench

CONFIG = b"""
domain: d
descriptors:
  - {key: few, rate_limit: {unit: minute, requests_per_unit: 2}}
  - {key: many, rate_limit: {unit: minute, requests_per_unit: 9}}
  - {key: shadow, shadow_mode: true, rate_limit: {unit: minute, requests_per_unit: 1}}
  - {key: free, rate_limit: {unlimited: true}}
"""
TOGETHER = CONFIG.replace(b"descriptors", b"all_or_nothing: true\ndescriptors")


def asked(*keys: str, hits: int = 1) -> bytes:
    """One descriptor for each key."""
    return request(*(descriptor((key, "v")) for key in keys), hits_addend=hits)


def bench_of(text: bytes, *, stop_when_over: bool = False, **settings: Any) -> Bench:
    """A service with that configuration."""
    bench = Bench(**settings)
    bench.service._planner.grouping = Grouping(stop_when_over)
    bench.load(text)
    return bench


def told(bench: Bench, *messages: bytes) -> list[tuple[int, list[int]]]:
    """The overall code and what remains, of requests of one tick."""
    responses = [call.response for call in bench.ask_all(*messages)]
    return [(each.overall_code, [one.limit_remaining for one in each.statuses]) for each in responses if each]


def numbers(bench: Bench, key: str) -> tuple[int, int, int]:
    """Metrics of a limit."""
    stats = bench.metrics.limits[f"d.{key}"]
    return stats.total_hits, stats.within_limit, stats.over_limit


@pytest.mark.parametrize("response", [{}, {"limit_response_headers_enabled": True}])
def test_all_or_nothing_charges_none_of_a_denied_request(response: dict[str, bool]) -> None:
    """What is denied leaves every counter as it was, in one tick and in the next, by either way to the bytes."""
    bench = bench_of(TOGETHER, **response)
    both = asked("few", "many")
    assert told(bench, both, both, both) == [(1, [1, 8]), (1, [0, 7]), (2, [0, 7])]
    assert told(bench, both, asked("many")) == [(2, [0, 7]), (1, [6])]
    assert numbers(bench, "few") == (4, 2, 2)
    assert numbers(bench, "many") == (5, 5, 0)


def test_a_shadow_limit_does_not_keep_the_others_from_being_charged() -> None:
    """Its request is admitted, so it is charged, also where the cache knows the shadow limit to be over."""
    bench = bench_of(TOGETHER, cache_bytes=10_000)
    both = asked("shadow", "few")
    assert [told(bench, both)[0] for _ in range(3)] == [(1, [0, 1]), (1, [0, 0]), (2, [0, 0])]
    assert bench.metrics.limits["d.shadow"].shadow_mode == 2


@pytest.mark.parametrize("cache_bytes", [0, 10_000])
@pytest.mark.parametrize("over", ["few", "shadow"])
def test_stop_when_over_charges_only_what_is_over(cache_bytes: int, over: str) -> None:
    """The others freeze, and count as hits within their limit all the same; a shadow limit stops them too."""
    bench = bench_of(CONFIG, stop_when_over=True, cache_bytes=cache_bytes)
    both = asked(over, "many", "free")
    remaining = [each[1][1] for _ in range(4) for each in told(bench, both)]
    assert remaining == ([8, 7, 7, 7] if over == "few" else [8, 8, 8, 8])
    assert numbers(bench, "many") == (4, 4, 0)
    assert numbers(bench, over)[0] == 4
    assert numbers(bench, over)[2] == (2 if over == "few" else 3)


def test_what_is_known_whole_needs_no_store() -> None:
    """Where every charge is known to be over."""
    bench = bench_of(CONFIG, stop_when_over=True, cache_bytes=10_000)
    both = request(descriptor(("few", "v")), descriptor(("few", "w")), hits_addend=3)
    assert told(bench, both)[0][0] == 2
    bench.store.error = StoreError("away")
    assert told(bench, both)[0] == (2, [0, 0])
    assert bench.metrics.limits["d.few"].over_limit_with_local_cache == 6


def test_refunds_and_looks_of_a_group() -> None:
    """A refund gives back in either mode, and is told apart in the metrics."""
    bench = bench_of(TOGETHER, cache_bytes=10_000)
    told(bench, asked("few", "many"))
    back = request(*(descriptor((key, "v"), is_negative_hits=True) for key in ("few", "many")))
    look = request(*(descriptor((key, "v"), hits_addend={"value": 0}) for key in ("few", "many")))
    assert told(bench, back, look) == [(1, [2, 9]), (1, [2, 9])]
    assert bench.metrics.limits["d.few"].total_negative_hits == 1


def test_a_group_that_cannot_be_counted_is_unavailable() -> None:
    """Its own error, and none of its neighbours'."""
    bench = bench_of(TOGETHER)
    bench.store.error = StoreError("away")
    calls = bench.ask_all(asked("few", "many"), asked("free"))
    assert calls[0].error is not None
    assert calls[0].error.grpc_status is GrpcStatus.UNAVAILABLE
    assert calls[1].response is not None


def test_both_ways_write_the_same_bytes() -> None:
    """The prepared parts say what protobuf says."""
    told_by: list[list[Message | None]] = []
    for rules in (Rules(), Rules(response=ResponseSettings(limit_response_headers_enabled=True))):
        bench = bench_of(TOGETHER)
        bench.service.swap(load_config([ConfigFile("f", TOGETHER)]), rules)
        responses = [call.response for call in bench.ask_all(*[asked("few", "free", "none", "shadow")] * 4)]
        for response in responses:
            assert response is not None
            response.ClearField("response_headers_to_add")
        told_by.append(list(responses))
    assert told_by[0] == told_by[1]


def test_others_of_the_tick_keep_their_order() -> None:
    """A hit of one's own parts the hits that others share, so each sees what came before it."""
    bench = bench_of(TOGETHER)
    alone, both = asked("many"), asked("many", "free", "few")
    remaining = [each[1][0] for each in told(bench, alone, both, alone, asked("many", hits=2), both)]
    assert remaining == [8, 7, 6, 4, 3]


ALGORITHMS = b"""
domain: d
descriptors:
  - {key: gcra, rate_limit: {unit: second, unit_multiplier: 10, requests_per_unit: 5, algorithm: gcra}}
  - {key: sliding, rate_limit: {unit: minute, requests_per_unit: 4, algorithm: sliding_window}}
  - {key: fixed, rate_limit: {unit: minute, requests_per_unit: 9}}
"""


@pytest.mark.parametrize("cache_bytes", [0, 10_000])
@pytest.mark.parametrize("response", [{}, {"limit_response_headers_enabled": True}])
def test_gcra_admits_a_burst_and_then_evenly(cache_bytes: int, response: dict[str, bool]) -> None:
    """The requests of a tick one after the other; denied ones cost nothing, and each is told what remains."""
    bench = bench_of(ALGORITHMS, cache_bytes=cache_bytes, **response)
    ask = asked("gcra")
    assert told(bench, *[ask] * 7) == [(1, [left]) for left in (4, 3, 2, 1, 0)] + [(2, [0])] * 2
    bench.clock.advance(2.0)
    assert told(bench, ask, ask) == [(1, [0]), (2, [0])]
    bench.clock.advance(10.5)
    assert told(bench, asked("gcra", hits=5), ask) == [(1, [0]), (2, [0])]
    assert numbers(bench, "gcra") == (15, 11, 4)
    assert bench.metrics.limits["d.gcra"].near_limit == 3


def test_a_sliding_window_forgets_little_by_little() -> None:
    """The window before counts by what of it is still within reach; a reset says when all of it is gone."""
    bench = bench_of(ALGORITHMS)
    bench.clock.advance(-(bench.clock.now() % 60))
    ask = asked("sliding")
    assert [code for code, _ in told(bench, *[ask] * 5)] == [1, 1, 1, 1, 2]
    bench.clock.advance(60)
    assert told(bench, ask) == [(2, [0])]
    bench.clock.advance(15)
    (call,) = bench.ask_all(ask)
    assert call.response is not None
    assert (call.response.overall_code, call.response.statuses[0].duration_until_reset.seconds) == (1, 105)


def test_one_request_may_reach_limits_of_every_algorithm() -> None:
    """What the fixed window counts is shared with other requests as ever; looks and refunds work for all."""
    bench = bench_of(ALGORITHMS)
    every = asked("gcra", "fixed", "sliding")
    assert told(bench, every, asked("fixed"), every) == [(1, [4, 8, 3]), (1, [7]), (1, [3, 6, 2])]
    keys = ("gcra", "fixed", "sliding")
    back = request(*(descriptor((key, "v"), is_negative_hits=True) for key in keys))
    look = request(*(descriptor((key, "v"), hits_addend={"value": 0}) for key in keys))
    assert told(bench, back, look) == [(1, [4, 7, 3]), (1, [4, 7, 3])]
    assert bench.metrics.limits["d.gcra"].total_negative_hits == 1


def test_what_stops_are_fixed_windows() -> None:
    """Limits of another algorithm are charged beside the group, and denied by themselves."""
    text = ALGORITHMS.replace(b"requests_per_unit: 9", b"requests_per_unit: 1") + (
        b"  - {key: free, rate_limit: {unit: minute, requests_per_unit: 7}}\n"
    )
    bench = bench_of(text, stop_when_over=True, cache_bytes=10_000)
    every = asked("fixed", "gcra", "free")
    assert [told(bench, every)[0][1] for _ in range(3)] == [[0, 4, 6], [0, 3, 6], [0, 2, 6]]


def test_a_request_is_not_shared_with_a_later_one_of_its_key() -> None:
    """A store that fails fails each of them."""
    bench = bench_of(ALGORITHMS)
    bench.store.error = StoreError("away")
    assert [call.error is not None for call in bench.ask_all(asked("gcra"), asked("gcra"))] == [True, True]
