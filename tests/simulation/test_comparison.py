from typing import Any

from ratelimit.simulation.comparison import Changes, change, comparison_lines, comparison_report
from ratelimit.simulation.replay import Replay
from tests.simulation.scene import START_MS, config, plan, rate, settings


def compared(before: list[str], after: list[str], asked: list[str], top: int = 20) -> tuple[dict[str, Any], str]:
    """The report and its text, of a request a millisecond."""
    replays = [Replay(config(*limits), settings(), index) for index, limits in enumerate((before, after))]
    changes = Changes()
    changes.run(
        replays,
        [(START_MS + ms, tuple(plan(each, asking)[0] for each in replays)) for ms, asking in enumerate(asked)],
    )
    for each in replays:
        each.finish()
    report = comparison_report(replays[0], replays[1], changes)
    return report, "\n".join(comparison_lines(report, top))


def test_requests_that_change() -> None:
    """One limit is higher, another lower: both directions are told, request by request."""
    before = [f"key: a, {rate(1)}", f"key: b, {rate(3)}"]
    after = [f"key: a, {rate(3)}", f"key: b, {rate(2)}"]
    report, text = compared(before, after, ["a=x", "a=x", "a=x", "b=x", "b=x", "b=x", "a=x"])
    assert (report["changes"]["newly_denied"], report["changes"]["newly_admitted"]) == (1, 2)
    assert [(each["limit"], change(each)) for each in report["changes"]["limits"]] == [("d.a", -2), ("d.b", 1)]
    assert "before: 7 requests: 4 admitted, 3 denied (42.9 %)" in text
    assert "1 requests are newly denied, 2 newly admitted" in text
    row = next(line for line in text.splitlines() if line.startswith("d.a"))
    assert " ".join(row.split()) == "d.a 1 per minute → 3 per minute 4 3 → 1 75.0 → 25.0 % -2"


def test_limits_of_one_side() -> None:
    """One that is new, one that is gone; what matched none is a row too."""
    report, text = compared([f"key: a, {rate(1)}"], [f"key: b, {rate(1)}"], ["a=x", "a=x", "b=x"], top=3)
    rows = {each["limit"]: each for each in report["changes"]["limits"]}
    assert (rows["d.a"]["after"], rows["d.b"]["before"]) == (None, None)
    assert change(rows["d.a"]) == -1
    assert "(no limit matched)" in text
    assert "1 per minute → none" in text
    assert "--top" not in text
    assert compared([f"key: a, {rate(1)}"], [f"key: a, {rate(1)}"], ["a=x", "b=x"], top=1)[1].endswith("1 more (--top)")
