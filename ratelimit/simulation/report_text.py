"""A report as lines for a terminal. What comes from the log or the configuration is escaped where it must be."""

from collections.abc import Iterator, Sequence
from typing import Any

from ratelimit.limiter.explanation_report import legible
from ratelimit.simulation.bars import COLUMNS_MAX, columns, duration, frame_of, sparkline

KEYS_SHOWN = 3
KEY_LENGTH_MAX = 80


def log_lines(log: dict[str, Any]) -> Iterator[str]:
    """What the log was, and what of it could not be used."""
    yield f"{legible(log['log'])}: {log['lines']:,} lines, {log['from']} to {log['to']}"
    if log["broken"]:
        yield f"  {log['broken']:,} broken lines are not counted, the first:"
        for each in log["broken_first"]:
            yield f"    line {each['line']}: {legible(each['reason'])}"
    if log["without_descriptor"]:
        yield f"  {log['without_descriptor']:,} lines have no descriptor: they ask nothing, and are not counted"
    if log["late"]:
        yield f"  {log['late']:,} lines came late, and count at the moment that was reached: sort the log, or --reorder"


def replay_lines(value: dict[str, Any], top: int, *, ascii_only: bool = False) -> Iterator[str]:
    """The requests, a plot of them over time, and the limits."""
    yield overall(value)
    yield from _plot(value, ascii_only=ascii_only)
    yield ""
    yield from _table(value["limits"], top)


def overall(value: dict[str, Any]) -> str:
    """All requests in a sentence."""
    share = f"{value['percent_denied']} %"
    return f"{value['requests']:,} requests: {value['admitted']:,} admitted, {value['denied']:,} denied ({share})"


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [each.rjust(width) for each, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def shown(text: str, length_max: int = KEY_LENGTH_MAX) -> str:
    """A text of the log or the configuration, of bounded length."""
    text = legible(text)
    return text if len(text) <= length_max else f"{text[:length_max]}…"


def limit_shown(each: dict[str, Any]) -> str:
    """The name of a limit."""
    return shown(each["limit"]) or "(no limit matched)"


def left_out(limits: Sequence[dict[str, Any]], top: int) -> Iterator[str]:
    """That there are more than `top`, if there are."""
    if len(limits) > top:
        yield f"and {len(limits) - top:,} more (--top)"


def _plot(value: dict[str, Any], *, ascii_only: bool) -> Iterator[str]:
    frame = frame_of(value["series"], value["bucket_s"], COLUMNS_MAX)
    found = columns(value["series"], frame)
    for place, name in ((1, "admitted"), (2, "denied")):
        counts = [column[place] for column in found]
        line = sparkline(counts, max(counts, default=0), ascii_only=ascii_only)
        yield f"  {name:<8} |{line}| at most {max(counts, default=0):,} in {duration(frame.wide_s)}"


def _table(limits: Sequence[dict[str, Any]], top: int) -> Iterator[str]:
    told = limits[:top]
    with_over = any(each["over"] != each["denied"] for each in told)
    head = ["LIMIT", "RATE", "REQUESTS", "ADMITTED", "DENIED", "%", *(["OVER"] if with_over else []), "PEAK"]
    rows = [head]
    for each in told:
        rate = each["verdict"] if each["verdict"] != "counted" else each["rate"]
        counts = [f"{each[name]:,}" for name in ("requests", "admitted", "denied")]
        over = [f"{each['over']:,}"] if with_over else []
        peak = "" if each["peak"] is None else f"{each['peak']:,}"
        rows.append([limit_shown(each), rate, *counts, str(each["percent_denied"]), *over, peak])
    first, *lines = aligned(rows)
    yield first
    for each, line in zip(told, lines, strict=True):
        yield line
        yield from _details(each)
    yield from left_out(limits, top)


def _details(each: dict[str, Any]) -> Iterator[str]:
    if each["file"]:
        modes = "".join(f", {mode}" for mode in ("shadow_mode", "quota_mode") if each[mode])
        yield f"    {legible(each['file'])}:{each['line']}: {legible(each['key_path'])}{modes}"
    if each["over"]:
        yield f"    over from {each['first_over']} to {each['last_over']}"
    if len(each["busiest"]) > 1 or not each["file"]:
        for key in each["busiest"][:KEYS_SHOWN]:
            over = f", {key['over']:,} over" if key["over"] else ""
            yield f"    {shown(key['key'])}: {key['requests']:,} requests{over}"
        if each["busiest_may_lack"]:
            yield f"    (many keys: each of them may have had {each['busiest_may_lack']:,} more)"
