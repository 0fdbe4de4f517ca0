"""Which series of a report are drawn: all requests, and the limits that deny most."""

from typing import Any

from ratelimit.simulation.bars import columns, frame_of
from ratelimit.simulation.chart import Panel, chart
from ratelimit.simulation.report_text import overall

LIMITS_DRAWN = 6
COLUMNS_MAX = 120


def drawn(report: dict[str, Any]) -> str:
    """The picture of a report; of two configurations both sides of the limits that change most."""
    sides = [(f"{side}: ", report[side]) for side in ("before", "after") if side in report] or [("", report)]
    frame = frame_of(sides[0][1]["series"], sides[0][1]["bucket_s"], COLUMNS_MAX)
    panels = [Panel(f"{name}all requests", overall(value), columns(value["series"], frame)) for name, value in sides]
    limits = [{each["limit"]: each for each in value["limits"] if _has_series(each)} for _, value in sides]
    ranked = report["changes"]["limits"] if "changes" in report else report["limits"]
    names = list(dict.fromkeys(each["limit"] for each in ranked if each["verdict"] == "counted"))
    for name in names[: LIMITS_DRAWN // len(sides)]:
        for (side, _), of_side in zip(sides, limits, strict=True):
            if name in of_side:
                each = of_side[name]
                panels.append(Panel(f"{side}{name}", _note(each), columns(each["series"], frame)))
    return chart(f"{report['log']}, {report['from']} to {report['to']}", panels, frame)


def _has_series(each: dict[str, Any]) -> bool:
    return each["verdict"] == "counted" and each["series"] is not None


def _note(each: dict[str, Any]) -> str:
    passed = each["over"] - each["denied"]
    let_pass = f", {passed:,} over and let pass" if passed else ""
    share = f"{each['denied']:,} denied ({each['percent_denied']} %)"
    return f"{each['rate']}: {each['requests']:,} requests, {share}{let_pass}"
