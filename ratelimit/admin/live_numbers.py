"""What the open pages are told: events with what changed since the ones before. Nothing here runs while none is open.

state     each time: health, workers, calls, and every stat that is there once
rows      counts since the start, of the limits that were hit since: [row, one number for each of LIMIT_STATS]
loads     the last loads of the configuration, when there was one
unknown   the domains that no file configures and most was asked of, when there was a request for one
keys      the busiest keys and those most often over their limit, once a second
"""

import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from operator import add, attrgetter, sub
from typing import Any, Protocol

from ratelimit.admin.limit_rows import LimitRows
from ratelimit.admin.loads import Loads
from ratelimit.limiter.key_watch import merged
from ratelimit.metrics import LIMIT_STATS, LimitStats, Metrics
from ratelimit.metrics.process import read_limit

ROWS_AT_ONCE = 500
UNKNOWN_MAX = 10
SERIES_AT_ONCE = 500
# Whatever is counted of a limit is one of these two.
_MARK = attrgetter("total_hits", "total_negative_hits")
_ROW = f"[%d{',%d' * len(LIMIT_STATS)}]"


class Watched(Protocol):
    """Who answers calls, as the page sees it: one process, or several."""

    @property
    def worker_states(self) -> Sequence[dict[str, Any]]:
        """What each worker process said of itself last; empty for a single process."""

    def watch_keys(self, *, on: bool) -> None:
        """Note from now on which keys are hit, or no more."""

    def key_rates(self) -> Sequence[dict[str, Any]]:
        """What each process noted, as `limiter.key_watch.KeyWatch.rates` has it."""


class LiveNumbers:
    """Remembers what was told of `metrics`, by row."""

    def __init__(self, metrics: Metrics, loads: Loads) -> None:
        self._metrics = metrics
        self._loads = loads
        self._counts: dict[int, tuple[int, ...]] = {}
        # What was told of each series, and what it was known by, in the order of the series.
        self._told: dict[str, tuple[int, ...]] = {}
        self._marks: tuple[list[Any], list[Any]] = ([], [])
        self._unknown: dict[str, int] = {}
        self._loads_told = -1
        self.rows: LimitRows | None = None

    def begin(self, rows: LimitRows) -> None:
        """Another configuration is in force: counts are told from the beginning, by its rows."""
        self.rows = rows
        self._counts.clear()
        self._told.clear()
        self._marks = ([], [])

    def changes(self) -> Iterator[bytes]:
        """Events with what changed, each a millisecond of work at most; some are empty."""
        if self._loads_told != self._loads.count:
            self._loads_told = self._loads.count
            yield self._loads_event()
        series = self._metrics.series
        for each, marks in zip((series.configured, series.dynamic), self._marks, strict=True):
            yield from self._changes_of(each, marks)
        if self._metrics.domains_not_found != self._unknown:
            self._unknown = dict(self._metrics.domains_not_found)
            yield self._unknown_event()

    def known(self) -> Iterator[bytes]:
        """Everything that was told before, for a page that opens later."""
        yield self._loads_event()
        if self._unknown:
            yield self._unknown_event()
        known = sorted(self._counts)
        for first in range(0, len(known), ROWS_AT_ONCE):
            yield self._rows_event(known[first : first + ROWS_AT_ONCE])

    def state(self, now: float, about: dict[str, Any]) -> bytes:
        """The event that comes each time; `now` is in unix seconds, `about` what else is to be told."""
        calls = self._metrics.should_rate_limit
        return event(
            "state",
            {
                "at": round(now, 3),
                "tree": self.rows.number if self.rows else 0,
                **about,
                "calls": calls.calls,
                "seconds": round(sum(calls.seconds), 6),
                "stats": self._metrics.singles(),
            },
        )

    def _changes_of(self, series: Mapping[str, LimitStats], marks: list[Any]) -> Iterator[bytes]:
        """Those series whose mark is another than before; most are not, and compared many at a time."""
        if self.rows is None:
            return
        names, stats = list(series), list(series.values())
        for first in range(0, len(stats), SERIES_AT_ONCE):
            part = slice(first, first + SERIES_AT_ONCE)
            now, before = list(map(_MARK, stats[part])), marks[part]
            if now == before:
                yield b""
                continue
            marks[part] = now
            changed = {
                self._add(name, read_limit(each))
                for name, each, mark, old in zip_longest(names[part], stats[part], now, before[: len(now)])
                if mark != old
            }
            yield self._rows_event(sorted(row for row in changed if row is not None))

    def _add(self, name: str, numbers: tuple[int, ...]) -> int | None:
        """Bring the row of a series up to date, and say which it is."""
        row = None if self.rows is None else self.rows.row_of(name)
        if row is not None:
            before, counts = self._told.get(name), self._counts.get(row)
            if counts is None or counts is before:
                self._counts[row] = numbers
            else:  # several series are of one row: those that hold values
                more = numbers if before is None else map(sub, numbers, before)
                self._counts[row] = tuple(map(add, counts, more))
            self._told[name] = numbers
        return row

    def _rows_event(self, rows: Sequence[int]) -> bytes:
        """By hand, since there may be ten thousand of them twice a second."""
        tree = self.rows.number if self.rows else 0
        told = ",".join([_ROW % (row, *self._counts[row]) for row in rows if row in self._counts])
        return f'event: rows\ndata: {{"tree":{tree},"rows":[{told}]}}\n\n'.encode() if told else b""

    def _loads_event(self) -> bytes:
        return event("loads", {"count": self._loads.count, "last": [asdict(load) for load in self._loads.last]})

    def _unknown_event(self) -> bytes:
        most = heapq.nlargest(UNKNOWN_MAX, self._unknown.items(), key=lambda item: item[1])
        return event("unknown", {"domains": most})


def keys_event(rates: Sequence[dict[str, Any]]) -> bytes:
    """The busiest keys and those most often over, of all processes together."""
    return event("keys", merged(rates))


def event(name: str, value: object) -> bytes:
    """One server-sent event. JSON has no line ends, so no text can begin another."""
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
