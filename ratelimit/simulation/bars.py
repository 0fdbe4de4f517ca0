"""Series as columns: what a plot shows, in a terminal or drawn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS_MAX = 72
_BLOCKS = " ▁▂▃▄▅▆▇█"
# What a terminal must be able to show for these.
FULL = _BLOCKS[-1]
_ASCII = " .:-=+*#@"
Column = tuple[int, int, int]
"""A unix second, and what there was from it on: within the limit, and over it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The axis of time: `columns` of `wide_s` seconds from the unix second `first` on."""

    first: int
    wide_s: int
    columns: int

    @property
    def end(self) -> int:
        """The second after the last."""
        return self.first + self.columns * self.wide_s


def frame_of(series: Sequence[Sequence[int]], width_s: int, most: int) -> Frame:
    """A frame of at most so many columns that holds buckets of `width_s` seconds."""
    first, last = (series[0][0], series[-1][0]) if series else (0, 0)
    buckets = (last - first) // width_s + 1
    times = math.ceil(buckets / most)
    return Frame(first, width_s * times, math.ceil(buckets / times))


def columns(series: Sequence[Sequence[int]], frame: Frame) -> list[Column]:
    """The columns of a series, without gaps."""
    sums = [[0, 0] for _ in range(frame.columns)]
    for second, within, over in series:
        column = sums[(second - frame.first) // frame.wide_s]
        column[0] += within
        column[1] += over
    return [(frame.first + place * frame.wide_s, within, over) for place, (within, over) in enumerate(sums)]


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
