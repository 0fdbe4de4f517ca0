"""Two configurations under the same log: which requests change, and what changes by limit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ratelimit.simulation.bars import COLUMNS_MAX, columns, frame_of, sparkline
from ratelimit.simulation.replay import Replay, Row
from ratelimit.simulation.report import replay_report
from ratelimit.simulation.report_text import aligned, left_out, limit_shown, overall

COMPARED = ("rate", "requests", "denied", "percent_denied", "over", "peak")


@dataclass(slots=True)
class Changes:
    """Requests that one of the two denies."""

    newly_denied: int = 0
    newly_admitted: int = 0

    def run(self, replays: Sequence[Replay], rows: Sequence[Row]) -> None:
        """Count rows in both."""
        before, after = (set(replay.run(rows)) for replay in replays)
        self.newly_denied += len(after - before)
        self.newly_admitted += len(before - after)


def comparison_report(before: Replay, after: Replay, changes: Changes) -> dict[str, Any]:
    """Both reports, and the changes: the limits whose denied change most are the first."""
    reports = replay_report(before), replay_report(after)
    limits = [{(each["limit"], each["verdict"]): each for each in report["limits"]} for report in reports]
    names = [*limits[0], *(name for name in limits[1] if name not in limits[0])]
    rows = [
        {"limit": name[0], "verdict": name[1], "before": _of(limits[0].get(name)), "after": _of(limits[1].get(name))}
        for name in names
    ]
    rows.sort(key=lambda row: -abs(change(row)))
    return {
        "before": reports[0],
        "after": reports[1],
        "changes": {
            "newly_denied": changes.newly_denied,
            "newly_admitted": changes.newly_admitted,
            "limits": rows,
        },
    }


def change(row: dict[str, Any]) -> int:
    """How many more are denied by one limit."""
    before, after = ((row[side] or {"denied": 0})["denied"] for side in ("before", "after"))
    return int(after) - int(before)


def comparison_lines(value: dict[str, Any], top: int, *, ascii_only: bool = False) -> Iterator[str]:
    """The comparison for a terminal."""
    changes = value["changes"]
    for side in ("before", "after"):
        yield f"{side}: {overall(value[side])}"
    yield f"{changes['newly_denied']:,} requests are newly denied, {changes['newly_admitted']:,} newly admitted"
    frame = frame_of(value["before"]["series"], value["before"]["bucket_s"], COLUMNS_MAX)
    found = [columns(value[side]["series"], frame) for side in ("before", "after")]
    highest = max((over for each in found for _, _, over in each), default=0)
    for side, each in zip(("before", "after"), found, strict=True):
        line = sparkline([over for _, _, over in each], highest, ascii_only=ascii_only)
        yield f"  denied {side:<6} |{line}|"
    yield ""
    rows = [["LIMIT", "RATE", "REQUESTS", "DENIED", "", "CHANGE"]]
    for each in changes["limits"][:top]:
        cells = [_both(each, key) for key in ("rate", "requests", "denied", "percent_denied")]
        rows.append([limit_shown(each), *cells[:3], f"{cells[3]} %", f"{change(each):+,}"])
    yield from aligned(rows)
    yield from left_out(changes["limits"], top)


def _of(report: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if report is None else {name: report[name] for name in COMPARED}


def _both(row: dict[str, Any], key: str) -> str:
    """A value before and after, once where it is the same; a limit that is not there or not reached has none."""
    sides = []
    for side in ("before", "after"):
        value = row["verdict"] if row[side] and key == "rate" and row["verdict"] != "counted" else None
        value = value or (row[side] or {}).get(key)
        sides.append("none" if value is None else f"{value:,}" if isinstance(value, int) else str(value))
    return sides[0] if sides[0] == sides[1] else f"{sides[0]} → {sides[1]}"
