"""Series as columns: what a plot shows, in a terminal or drawn."""

import math
from collections.abc import Sequence

COLUMNS_MAX = 72
_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = " .:-=+*#@"
Column = tuple[int, int, int]
"""A unix second, and what there was from it on: within the limit, and over it."""


def columns(series: Sequence[Sequence[int]], width_s: int, most: int) -> tuple[list[Column], int]:
    """At most so many columns without gaps, and the seconds of each, from buckets of `width_s` seconds."""
    if not series:
        return [], width_s
    first, last = series[0][0], series[-1][0]
    wide_s = width_s * math.ceil(((last - first) // width_s + 1) / most)
    sums = [[0, 0] for _ in range((last - first) // wide_s + 1)]
    for second, within, over in series:
        column = sums[(second - first) // wide_s]
        column[0] += within
        column[1] += over
    return [(first + place * wide_s, within, over) for place, (within, over) in enumerate(sums)], wide_s


def sparkline(values: Sequence[int], highest: int, *, ascii_only: bool = False) -> str:
    """One character for each value; any value above 0 is seen."""
    levels = _ASCII if ascii_only else _BLOCKS
    return "".join(levels[math.ceil(value * (len(levels) - 1) / highest) if highest else 0] for value in values)


def duration(seconds: int) -> str:
    """A width in the largest unit that it is whole in."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds % size == 0:
            times = seconds // size
            return f"a {unit}".replace("a hour", "an hour") if times == 1 else f"{times} {unit}s"
    return "a second" if seconds == 1 else f"{seconds} seconds"
