import json

import pytest

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.simulation.order import InOrder
from ratelimit.simulation.report import limit_report, log_report, percent, rate, replay_report, told
from ratelimit.simulation.rows import Lines
from tests.simulation import scene


def test_a_limit() -> None:
    """Where it stands, what it says, and what came of it."""
    replayed = scene.replay(f"key: a, quota_mode: true, {scene.rate(1)}")
    replayed.run([(scene.START_MS + ms, scene.plan(replayed, "a=x")) for ms in (0, 1, 2)])
    replayed.finish()
    found = limit_report(replayed.tallies[0])
    second = scene.START_MS // 1_000
    assert found == {
        "limit": "d.a",
        "verdict": "counted",
        "rate": "1 per minute",
        "shadow_mode": False,
        "quota_mode": True,
        "file": "d.yaml",
        "line": 4,
        "key_path": "descriptors[0]",
        "requests": 3,
        "admitted": 1,
        "denied": 2,
        "percent_denied": 66.7,
        "over": 2,
        "peak": 3,
        "first_over": "2026-01-01T00:00:00.001Z",
        "last_over": "2026-01-01T00:00:00.002Z",
        "busiest": [{"key": "a=x", "requests": 3, "over": 2}],
        "busiest_may_lack": 0,
        "series": [[second, 1, 2]],
    }


def test_the_order_of_limits() -> None:
    """Those that deny most first, what is not counted last; all of it is JSON."""
    replayed = scene.replay(*(f"key: {key}, {scene.rate(count)}" for key, count in (("a", 9), ("b", 1), ("c", 2))))
    asked = ["x=y", "x=y", "a=1", "a=1", "b=1", "b=1", "b=1", "c=1"]
    replayed.run([(scene.START_MS, scene.plan(replayed, each)) for each in asked])
    replayed.finish()
    report = json.loads(json.dumps(replay_report(replayed)))
    assert [each["limit"] for each in report["limits"]] == ["d.b", "d.a", "d.c", ""]
    assert (report["requests"], report["admitted"], report["denied"], report["bucket_s"]) == (8, 6, 2, 1)
    assert report["limits"][-1]["file"] is None


def test_the_log() -> None:
    """Its lines, from when to when, and what could not be used."""
    order = InOrder(0)
    order.add([(scene.START_MS, ())])
    order.rest()
    found = log_report("access.log", Lines(read=9, broken=2, silent=3, named=[(4, "is torn")]), order)
    assert found == {
        "log": "access.log",
        "lines": 9,
        "broken": 2,
        "broken_first": [{"line": 4, "reason": "is torn"}],
        "without_descriptor": 3,
        "late": 0,
        "from": "2026-01-01T00:00:00.000Z",
        "to": "2026-01-01T00:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit(5, Unit.HOUR), "5 per hour"),
        (Limit(5, Unit.SECOND, unit_multiplier=30), "5 per 30 seconds"),
        (Limit(0, Unit.SECOND, unlimited=True), "unlimited"),
        (Limit(5, Unit.HOUR, algorithm="gcra"), "5 per hour, gcra"),
    ],
)
def test_a_limit_in_words(limit: Limit, text: str) -> None:
    """As short as a table wants it."""
    assert rate(limit) == text


def test_numbers_of_nothing() -> None:
    """No percentage of none, no time of none."""
    assert (percent(0, 0), told(None)) == (0.0, None)
