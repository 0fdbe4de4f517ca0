import re
from typing import Any

from ratelimit.simulation.panels import LIMITS_DRAWN, drawn
from ratelimit.simulation.report import replay_report
from tests.simulation.scene import START_MS, plan, rate, replay


def report(*limits: str) -> dict[str, Any]:
    """The report of a replay in which each of the keys a, b, c… is asked for twice."""
    replayed = replay(*limits)
    replayed.run([(START_MS, plan(replayed, f"{chr(97 + n % len(limits))}=x")) for n in range(2 * len(limits))])
    replayed.finish()
    return {"log": "access.log", "from": "then", "to": "now", **replay_report(replayed)}


def titles(picture: str) -> list[str]:
    """The titles of the panels."""
    return re.findall(r'class="title"[^>]*>([^<]*)<', picture)


def test_all_requests_and_the_limits_that_deny_most() -> None:
    """So many of them; what is let pass is told, and what is not counted is not drawn."""
    limits = [f"key: {chr(97 + n)}, {rate(1)}" for n in range(LIMITS_DRAWN + 2)]
    picture = drawn(report(*limits, "key: z, rate_limit: {unlimited: true}"))
    assert titles(picture) == ["all requests", *(f"d.{chr(97 + n)}" for n in range(LIMITS_DRAWN))]
    assert "access.log, then to now" in picture
    shadow = drawn(report(f"key: a, shadow_mode: true, {rate(1)}"))
    assert "1 per minute: 2 requests, 0 denied (0.0 %), 1 over and let pass" in shadow


def test_two_configurations() -> None:
    """One above the other, and both sides of the limits that change most; a limit may be on one side only."""
    before, after = report(f"key: a, {rate(1)}"), report(f"key: a, {rate(2)}")
    changed = {"limits": [{"limit": name, "verdict": "counted"} for name in ("d.a", "d.b")]}
    picture = drawn({"log": "l", "from": "then", "to": "now", "before": before, "after": after, "changes": changed})
    assert titles(picture) == ["before: all requests", "after: all requests", "before: d.a", "after: d.a"]
