"""What the requests of a replay came to: by limit, by key, over time. All of it is bounded.

Time is cut into buckets of one width. A replay does not know how long its log is, so the width begins with a second,
and grows, with everything that was put into buckets before, whenever there are more than BUCKETS_MAX.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nlargest

from ratelimit.descriptors.limit import Limit
from ratelimit.descriptors.tree import Node

BUCKETS_MAX = 240
WIDTHS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400)
# Keys of a limit that are told apart; twice as many are held before those with the fewest requests are dropped.
KEYS_MAX = 256
# Limits whose requests over time are kept, the first that come.
SERIES_MAX = 1_000

Series = dict[int, list[int]]
"""By the unix second where a bucket begins: requests, and those of them over the limit (of all: denied)."""


class Timeline:
    """The buckets of a replay, the same for every series of it."""

    def __init__(self) -> None:
        self.width_s = 1
        self._first: int | None = None
        self._series: list[Series] = []

    def series(self) -> Series:
        """A new series."""
        self._series.append({})
        return self._series[-1]

    def add(self, series: Series, second: int, requests: int, over: int) -> None:
        """Add what came in the bucket of that second."""
        bucket = series.setdefault(second - second % self.width_s, [0, 0])
        bucket[0] += requests
        bucket[1] += over

    def reach(self, second: int) -> int:
        """Go on to a second, no earlier than any before; the second where its bucket ends."""
        if self._first is None:
            self._first = second
        while (second - self._first) // self.width_s >= BUCKETS_MAX - 1:
            self._widen()
        return second - second % self.width_s + self.width_s

    def _widen(self) -> None:
        wider = (width for width in WIDTHS_S if width > self.width_s)
        self.width_s = next(wider, 2 * self.width_s)
        for series in self._series:
            buckets = list(series.items())
            series.clear()
            for second, (requests, over) in buckets:
                self.add(series, second, requests, over)


@dataclass(slots=True)
class KeyCount:
    """What the requests of one key came to."""

    requests: int = 0
    over: int = 0


class Busiest:
    """The keys that are over most, then those of the most requests.

    Exact for up to twice KEYS_MAX keys. With more, `dropped` is how many requests a key may have had, beside those that
    are told, when it was dropped and came again.
    """

    def __init__(self) -> None:
        self._counts: dict[str, KeyCount] = {}
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, key: str, requests: int, over: int) -> None:
        """Add the requests of a key."""
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= 2 * KEYS_MAX:
                self._drop()
            count = self._counts[key] = KeyCount()
        count.requests += requests
        count.over += over

    def most(self, keys: int) -> list[tuple[str, KeyCount]]:
        """So many of them, the first first."""
        return nlargest(keys, self._counts.items(), key=_rank)

    def _drop(self) -> None:
        kept = nlargest(KEYS_MAX, self._counts.items(), key=_rank)
        names = {key for key, _ in kept}
        self.dropped += max(count.requests for key, count in self._counts.items() if key not in names)
        self._counts = dict(kept)


def _rank(item: tuple[str, KeyCount]) -> tuple[int, int]:
    return item[1].over, item[1].requests


@dataclass(slots=True, eq=False)
class Tally:
    """One limit: how many descriptors reached it, and what they came to. Times are in unix milliseconds.

    `name` is its path, as /rlconfig has it. `node` and `limit` are None where no limit matched. `over` are those beyond
    the limit, `denied` those of them whose request was denied for it: not in shadow mode, nor let pass by quota mode.
    `denies` is whether a request that has nothing but this limit is denied where it is over; None before the first.
    `peak` is the highest count of a key in one window, what was denied included; None where that is not counted.
    """

    name: str
    verdict: str
    node: Node | None = None
    limit: Limit | None = None
    series: Series | None = None
    requests: int = 0
    over: int = 0
    denied: int = 0
    denies: bool | None = None
    peak: int | None = None
    first_over_ms: int | None = None
    last_over_ms: int | None = None
    busiest: Busiest = field(default_factory=Busiest)

    def saw(self, count: int) -> None:
        """Take note of a count."""
        if self.peak is None or count > self.peak:
            self.peak = count

    def was_over(self, first_ms: int, last_ms: int) -> None:
        """Take note of when it was over; two replays of a limit may tell in any order."""
        self.first_over_ms = first_ms if self.first_over_ms is None else min(first_ms, self.first_over_ms)
        self.last_over_ms = last_ms if self.last_over_ms is None else max(last_ms, self.last_over_ms)


class Tallies:
    """The tallies of a replay, in the order in which they were reached."""

    def __init__(self, new_series: Callable[[], Series]) -> None:
        self._new_series = new_series
        self._of: dict[tuple[int, str], Tally] = {}

    def of(self, name: str, verdict: str, node: Node | None, limit: Limit | None) -> Tally:
        """The one of a node and what became of the descriptor there, or of all that matched nothing."""
        key = (id(node), verdict)
        tally = self._of.get(key)
        if tally is None:
            series = self._new_series() if len(self._of) < SERIES_MAX else None
            tally = self._of[key] = Tally(name, verdict, node, limit, series)
        return tally

    def all(self) -> list[Tally]:
        """All of them."""
        return list(self._of.values())
