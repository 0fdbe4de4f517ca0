"""What the open pages are told: events with what changed since the ones before. Nothing here runs while none is open.

state     each time: health, workers, calls, and every stat that is there once
rows      counts since the start, of the limits that were hit since: [row, one number for each of LIMIT_STATS]
loads     the last loads of the configuration, when there was one
unknown   the domains that no file configures and most was asked of, when there was a request for one
keys      the busiest keys and those most often over their limit, once a second
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from ratelimit.admin.limit_rows import LimitRows
from ratelimit.admin.loads import Loads
from ratelimit.limiter.key_watch import merged
from ratelimit.metrics import LIMIT_STATS, Metrics
from ratelimit.metrics.increments import Increments

ROWS_AT_ONCE = 500
UNKNOWN_MAX = 10


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
        self._increments = Increments(metrics)
        self._counts: dict[int, list[int]] = {}
        self._unknown: dict[str, int] = {}
        self._loads_told = -1
        self.rows: LimitRows | None = None

    def begin(self, rows: LimitRows) -> None:
        """Another configuration is in force: counts are told from the beginning, by its rows."""
        self.rows = rows
        self._counts.clear()
        self._unknown.clear()
        self._increments = Increments(self._metrics)

    def changes(self) -> Iterator[bytes]:
        """Events with what changed, each a millisecond of work at most; some are empty."""
        if self._loads_told != self._loads.count:
            self._loads_told = self._loads.count
            yield self._loads_event()
        for increment in self._increments.pieces():
            for series in (increment.configured, increment.dynamic):
                changed = self._add(series) if series else set()
                yield self._rows_event(sorted(changed)) if changed else b""
            if increment.domains_not_found:
                yield self._unknown_event(increment.domains_not_found)

    def known(self) -> Iterator[bytes]:
        """Everything that was told before, for a page that opens later."""
        yield self._loads_event()
        if self._unknown:
            yield self._unknown_event({})
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

    def _add(self, series: Any) -> set[int]:
        changed: set[int] = set()
        if self.rows is None:
            return changed
        for name, numbers in series.items():
            row = self.rows.row_of(name)
            if row is not None:
                counts = self._counts.setdefault(row, [0] * len(LIMIT_STATS))
                self._counts[row] = [old + new for old, new in zip(counts, numbers, strict=True)]
                changed.add(row)
        return changed

    def _rows_event(self, rows: Sequence[int]) -> bytes:
        tree = self.rows.number if self.rows else 0
        told = [[row, *self._counts[row]] for row in rows if row in self._counts]
        return event("rows", {"tree": tree, "rows": told})

    def _loads_event(self) -> bytes:
        return event("loads", {"count": self._loads.count, "last": [asdict(load) for load in self._loads.last]})

    def _unknown_event(self, more: Any) -> bytes:
        for domain, descriptors in more.items():
            self._unknown[domain] = self._unknown.get(domain, 0) + descriptors
        most = heapq.nlargest(UNKNOWN_MAX, self._unknown.items(), key=lambda item: item[1])
        return event("unknown", {"domains": most})


def keys_event(rates: Sequence[dict[str, Any]]) -> bytes:
    """The busiest keys and those most often over, of all processes together."""
    return event("keys", merged(rates))


def event(name: str, value: object) -> bytes:
    """One server-sent event. JSON has no line ends, so no text can begin another."""
    return f"event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
