"""What one process has counted and another has not heard of yet, so that several are one scrape.

Each worker tells the supervisor what was added since it told last, and the supervisor adds it to metrics of its own.
So a sum never falls back when a worker dies, a scrape costs no more than that of one process, and METRICS_SERIES_MAX
bounds the whole. Numbers are read while they grow: each of them is told once, whenever it is read.
"""

from collections.abc import Iterator, Mapping
from itertools import islice

from ratelimit.metrics.counters import LimitStats
from ratelimit.metrics.declared import SINGLES, Merge
from ratelimit.metrics.process import Metrics, read_limit
from ratelimit.metrics.snapshot import Snapshot

# So many are compared, and written as text by whoever sends them, in less than a millisecond.
SERIES_AT_ONCE = 200
LIVING = frozenset(stat.name for stat in SINGLES if stat.merge is Merge.LIVING)


class Increments:
    """Remembers what was told of `metrics`: as much memory as their series take."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._singles: dict[str, int] = {}
        self._calls = [0] * len(metrics.should_rate_limit.calls)
        self._seconds = [0.0] * len(metrics.should_rate_limit.seconds)
        self._limits: dict[str, tuple[LimitStats, tuple[int, ...]]] = {}
        self._domains: dict[str, int] = {}
        self._shares: dict[str, tuple[int, ...]] = {}

    def pieces(self) -> Iterator[Snapshot]:
        """What was added since the pieces before, each a millisecond of work at most; the first is never left out.

        A piece counts as told when it is given, so it must arrive, or nothing that follows.
        """
        yield self._small()
        series = self._metrics.series
        for changed in self._series(series.configured):
            yield Snapshot(configured=changed)
        for changed in self._series(series.dynamic):
            yield Snapshot(dynamic=changed)
        domains = iter(list(self._metrics.domains_not_found.items()))
        while piece := dict(islice(domains, SERIES_AT_ONCE)):
            yield Snapshot(domains_not_found=_added(self._domains, piece))
        shares = iter(list(self._metrics.shares.all.items()))
        while rows := list(islice(shares, SERIES_AT_ONCE)):
            yield Snapshot(shares=dict(self._shares_changed(rows)))
        if len(self._limits) > len(series.configured) + len(series.dynamic):
            self._limits = {name: told for name, told in self._limits.items() if name in series.all}

    def _small(self) -> Snapshot:
        calls, seconds = list(self._metrics.should_rate_limit.calls), list(self._metrics.should_rate_limit.seconds)
        told_calls, self._calls = self._calls, calls
        told_seconds, self._seconds = self._seconds, seconds
        return Snapshot(
            _added(self._singles, dict(self._metrics.own_singles())),
            [now - before for now, before in zip(calls, told_calls, strict=True)],
            [now - before for now, before in zip(seconds, told_seconds, strict=True)],
        )

    def _series(self, series: Mapping[str, LimitStats]) -> Iterator[dict[str, tuple[int, ...]]]:
        rest = iter(list(series.items()))
        while piece := list(islice(rest, SERIES_AT_ONCE)):
            yield dict(self._changed(piece))

    def _changed(self, piece: list[tuple[str, LimitStats]]) -> Iterator[tuple[str, tuple[int, ...]]]:
        for name, stats in piece:
            numbers = read_limit(stats)
            told = self._limits.get(name)
            # Another object under the name: the series was dropped, and has come back.
            before = told[1] if told is not None and told[0] is stats else (0,) * len(numbers)
            if told is None or numbers != before:
                self._limits[name] = (stats, numbers)
                yield name, tuple(now - then for now, then in zip(numbers, before, strict=True))

    def _shares_changed(self, rows: list[tuple[str, list[int]]]) -> Iterator[tuple[str, tuple[int, ...]]]:
        for name, numbers in rows:
            before = self._shares.get(name, (0,) * len(numbers))
            self._shares[name] = tuple(numbers)
            if self._shares[name] != before:
                yield name, tuple(now - then for now, then in zip(numbers, before, strict=True))


class Heard:
    """What one other process has told, added to `metrics`; its living numbers go with it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._living: dict[str, int] = {}
        self._shares: dict[str, list[int]] = {}

    def add(self, increment: Snapshot) -> None:
        """One piece."""
        for name in LIVING & increment.singles.keys():
            self._living[name] = self._living.get(name, 0) + increment.singles[name]
        for name, differences in increment.shares.items():
            held = self._shares.setdefault(name, [0] * len(differences))
            self._shares[name] = [sum(pair) for pair in zip(held, differences, strict=True)]
        self._metrics.add(increment)

    def gone(self) -> None:
        """The process has ended: what it counted stays, what it had open does not."""
        taken_back = {name: -number for name, number in self._living.items()}
        shares = {name: [-number for number in numbers] for name, numbers in self._shares.items()}
        self._living.clear()
        self._shares.clear()
        self._metrics.add(Snapshot(taken_back, shares=shares))


def _added(told: dict[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """What is new or has changed, by how much; notes it as told."""
    added = {name: number - told.get(name, 0) for name, number in now.items() if number != told.get(name)}
    told.update(zip(added, map(now.__getitem__, added), strict=True))
    return added
