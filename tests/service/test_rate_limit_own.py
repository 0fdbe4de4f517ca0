"""Requests whose hits are their own."""

from typing import Any

import pytest
from google.protobuf.message import Message

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import GrpcStatus, StoreError
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
    bench.service._planner.stop_when_over = stop_when_over
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
