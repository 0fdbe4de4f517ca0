"""A snapshot in the text format of Prometheus, with names and labels as a mapping file has them.

The stats go through the mapper as envoyproxy/ratelimit's do: those of statsd by their whole names, EXTRA_TAGS behind
them, counters that are not 0, gauges always. What no mapping takes has its own name, with `_` for what it may not have.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from ratelimit.metrics.counters import BUCKETS_S
from ratelimit.metrics.declared import DOMAIN_NOT_FOUND, LIMIT, RESPONSE_TIME, SHARE, SINGLES, Kind
from ratelimit.metrics.mapper import Mapped, Mapper
from ratelimit.metrics.names import name_with_tags
from ratelimit.metrics.prometheus import Family, Sample, bound_text, family_text
from ratelimit.metrics.snapshot import Snapshot

STATS_AT_ONCE = 200
# A summary tells quantiles of what came within this.
WINDOW_S = 600.0
_Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Numbers:
    """A family while it is added up; samples by labels. The suffix of a sample's name stands before its labels."""

    family: Family
    samples: dict[tuple[str, _Labels], float] = field(default_factory=dict)


class MappedExposition:
    """Writes snapshots. Names are mapped once: what a scrape had is known to the next one."""

    def __init__(self, mapper: Mapper, tags: str, time_s: Callable[[], float] = time.monotonic) -> None:
        self._mapper = mapper
        self._tags = tags
        self._time_s = time_s
        # The durations of earlier scrapes, a minute apart at least: what came since is the window of a summary.
        self._earlier: deque[tuple[float, Snapshot]] = deque()
        self._known: dict[tuple[str, str], Mapped | None] = {}

    def __call__(self, snapshot: Snapshot) -> Iterator[bytes]:
        """The text, in pieces; some are empty, where a piece of work has no text yet."""
        families: dict[str, _Numbers] = {}
        known: dict[tuple[str, str], Mapped | None] = {}
        adders = chain(_counted(snapshot), _gauges(snapshot))
        for index, (name, kind, number) in enumerate(adders):
            if index % STATS_AT_ONCE == 0:
                yield b""
            mapped = self._mapped(name, kind, known)
            if mapped is not None:
                _add(families, mapped, kind, number)
        timer = self._mapped(RESPONSE_TIME.name, "observer", known)
        if timer is not None and any(snapshot.calls):
            _observe(families, timer, snapshot, self._since(snapshot))
        self._known = known
        for numbers in families.values():
            samples: Iterator[Sample] = (
                (suffix, dict(labels), number) for (suffix, labels), number in numbers.samples.items()
            )
            yield from family_text(numbers.family, samples)

    def _since(self, snapshot: Snapshot) -> Snapshot:
        """The durations at the beginning of the window, to be taken from those of `snapshot`."""
        now = self._time_s()
        while self._earlier and self._earlier[0][0] < now - WINDOW_S:
            self._earlier.popleft()
        begin = self._earlier[0][1] if self._earlier else Snapshot()
        if not self._earlier or self._earlier[-1][0] <= now - WINDOW_S / 10:
            self._earlier.append((now, Snapshot(calls=snapshot.calls, seconds=snapshot.seconds)))
        return begin

    def _mapped(self, name: str, kind: str, known: dict[tuple[str, str], Mapped | None]) -> Mapped | None:
        key = name, kind
        mapped = self._known[key] if key in self._known else self._mapper.find(name_with_tags(name, self._tags), kind)
        known[key] = mapped
        return mapped


def _counted(snapshot: Snapshot) -> Iterator[tuple[str, str, float]]:
    for series in (snapshot.configured, snapshot.dynamic):
        for name, numbers in series.items():
            for stat, number in zip(LIMIT, numbers, strict=True):
                if number:
                    yield stat.name.format(name), "counter", number
    for domain, number in snapshot.domains_not_found.items():
        yield DOMAIN_NOT_FOUND.name.format(domain), "counter", number
    for stat in SINGLES:
        if stat.kind is Kind.COUNTER and snapshot.singles.get(stat.name):
            yield stat.name, "counter", snapshot.singles[stat.name]


def _gauges(snapshot: Snapshot) -> Iterator[tuple[str, str, float]]:
    for stat in SINGLES:
        if stat.kind is Kind.GAUGE and stat.name in snapshot.singles:
            yield stat.name, "gauge", snapshot.singles[stat.name]
    for name, numbers in snapshot.shares.items():
        for stat, number in zip(SHARE, numbers, strict=True):
            yield stat.name.format(name), "gauge", number


def _of(families: dict[str, _Numbers], mapped: Mapped, kind: str) -> dict[tuple[str, _Labels], float] | None:
    """Where to add; None for a name that is of another kind already, or no name at all."""
    if not mapped.name:
        return None
    numbers = families.setdefault(mapped.name, _Numbers(Family(mapped.name, mapped.rule.help, kind)))
    return numbers.samples if numbers.family.kind == kind else None


def _add(families: dict[str, _Numbers], mapped: Mapped, kind: str, number: float) -> None:
    samples = _of(families, mapped, kind)
    scaled = number * mapped.rule.scale
    if samples is None or (kind == "counter" and scaled < 0):
        return
    key = "", mapped.labels
    samples[key] = scaled if kind == "gauge" else samples.get(key, 0.0) + scaled


def _observe(families: dict[str, _Numbers], mapped: Mapped, snapshot: Snapshot, before: Snapshot) -> None:
    """The timer, in milliseconds before it is scaled. A bucket holds what is surely not above its bound."""
    kind = mapped.rule.observer or "summary"
    samples = _of(families, mapped, kind)
    if samples is None:
        return
    factor = 1000 * mapped.rule.scale
    if kind == "histogram":
        for bound in mapped.rule.buckets:
            below: int = sum(
                calls
                for ours_s, calls in zip(BUCKETS_S, snapshot.calls, strict=False)
                if ours_s * factor <= bound * (1 + 1e-9)
            )
            samples["_bucket", (*mapped.labels, ("le", bound_text(bound)))] = below
        samples["_bucket", (*mapped.labels, ("le", "+Inf"))] = sum(snapshot.calls)
    else:
        for quantile in mapped.rule.quantiles:
            value = _quantile_s(quantile, snapshot, before) * factor
            samples["", (*mapped.labels, ("quantile", bound_text(quantile)))] = value
    samples["_sum", mapped.labels] = sum(snapshot.seconds) * factor
    samples["_count", mapped.labels] = sum(snapshot.calls)


def _quantile_s(quantile: float, snapshot: Snapshot, before: Snapshot) -> float:
    """The duration that the part `quantile` of the calls since `before` did not exceed: the mean of its bucket."""
    calls = [now - then for now, then in zip(snapshot.calls, before.calls or [0] * len(snapshot.calls), strict=True)]
    seconds = [
        now - then for now, then in zip(snapshot.seconds, before.seconds or [0.0] * len(snapshot.seconds), strict=True)
    ]
    rank, below = quantile * sum(calls), 0
    for count, total_s in zip(calls, seconds, strict=True):
        below += count
        if count and below >= rank:
            return total_s / count
    return math.nan
