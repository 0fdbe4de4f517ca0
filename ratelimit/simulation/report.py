"""What a replay came to as plain values, which JSON takes as they are; docs/simulate.md lists them.

Numbers are descriptors that reached a limit, or whole requests where no limit is named. Times are RFC 3339 in UTC.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ratelimit.descriptors.limit import FIXED_WINDOW, Limit
from ratelimit.simulation.order import InOrder
from ratelimit.simulation.replay import Replay
from ratelimit.simulation.rows import Lines
from ratelimit.simulation.tallies import Series, Tally

KEYS_TOLD = 10


def log_report(log: str, lines: Lines, order: InOrder) -> dict[str, Any]:
    """The log itself."""
    return {
        "log": log,
        "lines": lines.read,
        "broken": lines.broken,
        "broken_first": [{"line": number, "reason": reason} for number, reason in lines.named],
        "without_descriptor": lines.silent,
        "late": order.late,
        "from": told(order.first_ms),
        "to": told(order.last_ms),
    }


def replay_report(replay: Replay) -> dict[str, Any]:
    """One configuration: the limits with the most denied first; what matched none, and what is not counted, last."""
    admitted = replay.requests - replay.denied
    return {
        "requests": replay.requests,
        "admitted": admitted,
        "denied": replay.denied,
        "percent_denied": percent(replay.denied, replay.requests),
        "bucket_s": replay.timeline.width_s,
        "series": _series(replay.series),
        "limits": [limit_report(each) for each in _sorted(replay.tallies)],
    }


def limit_report(tally: Tally) -> dict[str, Any]:
    """One limit."""
    node, limit = tally.node, tally.limit
    return {
        "limit": tally.name,
        "verdict": tally.verdict,
        "file": None if node is None else node.file,
        "line": None if node is None else node.line,
        "key_path": None if node is None else node.key_path,
        "rate": None if limit is None else rate(limit),
        "shadow_mode": limit is not None and limit.shadow_mode,
        "quota_mode": limit is not None and limit.quota_mode,
        "requests": tally.requests,
        "admitted": tally.requests - tally.denied,
        "denied": tally.denied,
        "percent_denied": percent(tally.denied, tally.requests),
        "over": tally.over,
        "peak": tally.peak,
        "first_over": told(tally.first_over_ms),
        "last_over": told(tally.last_over_ms),
        "busiest": [
            {"key": key, "requests": count.requests, "over": count.over} for key, count in tally.busiest.most(KEYS_TOLD)
        ],
        "busiest_may_lack": tally.busiest.dropped,
        "series": None if tally.series is None else _series(tally.series),
    }


def rate(limit: Limit) -> str:
    """A limit in a few words."""
    if limit.unlimited:
        return "unlimited"
    algorithm = "" if limit.algorithm == FIXED_WINDOW else f", {limit.algorithm}"
    return f"{limit.requests_per_unit} per {limit.period}{algorithm}"


def percent(part: int, whole: int) -> float:
    """To a tenth."""
    return round(100 * part / whole, 1) if whole else 0.0


def told(ms: int | None) -> str | None:
    """A unix millisecond."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms // 1_000, UTC).replace(tzinfo=None, microsecond=ms % 1_000 * 1_000)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def _series(series: Series) -> list[list[int]]:
    """By bucket: its unix second, how many were within the limit, how many over it."""
    return [[second, requests - over, over] for second, (requests, over) in sorted(series.items())]


def _sorted(tallies: Iterable[Tally]) -> list[Tally]:
    return sorted(
        tallies, key=lambda each: (each.verdict != "counted", -each.denied, -each.over, -each.requests, each.name)
    )
