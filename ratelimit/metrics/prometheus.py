"""A snapshot in the text format of Prometheus, in pieces.

10,000 series of the longest names are up to 20 MB of text and a second of work. So the text is never whole in memory,
and each piece is a few milliseconds of work at most: whoever reads lets the event loop run between two of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from ratelimit.metrics.counters import BUCKETS_S
from ratelimit.metrics.declared import DOMAIN_NOT_FOUND, LIMIT, RESPONSE_TIME, SINGLES, Kind, Stat
from ratelimit.metrics.snapshot import Snapshot

SAMPLES_AT_ONCE = 100
GROUPED_AT_ONCE = 500
_LABELS = ("domain", "key1", "key2")

_Sample = tuple[Mapping[str, str], float]
# The labels of a limit: its domain and two keys. What lies deeper in the tree is summed, as the reference does.
_Group = tuple[str, str, str]


def exposition(snapshot: Snapshot) -> Iterator[bytes]:
    """The text, in pieces; some are empty, where a piece of work has no text yet."""
    yield from _limits(snapshot)
    domains = (({"domain": domain}, count) for domain, count in snapshot.domains_not_found.items())
    yield from _family(DOMAIN_NOT_FOUND, domains)
    for _, rows in groupby(SINGLES, key=lambda stat: stat.prometheus):
        present = [stat for stat in rows if stat.name in snapshot.singles]
        if present:
            samples = [(stat.labels, snapshot.singles[stat.name]) for stat in present]
            yield from _family(present[0], samples)
    yield _response_time(snapshot)


def _limits(snapshot: Snapshot) -> Iterator[bytes]:
    configured: dict[_Group, list[int]] = {}
    dynamic: dict[_Group, list[int]] = {}
    for target, series in ((configured, snapshot.configured), (dynamic, snapshot.dynamic)):
        names = iter(series)
        while piece := list(islice(names, GROUPED_AT_ONCE)):
            for name in piece:
                group = _group(name)
                sums = configured.get(group) or target.setdefault(group, [0] * len(LIMIT))
                for index, number in enumerate(series[name]):
                    sums[index] += number
            yield b""
    for index, stat in enumerate(LIMIT):
        yield from _family(stat, _samples(configured, dynamic, index))


def _group(name: str) -> _Group:
    domain, key1, key2, *_ = (*name.split(".", 3), "", "")
    return domain, key1, key2


def _samples(
    configured: Mapping[_Group, list[int]], dynamic: Mapping[_Group, list[int]], index: int
) -> Iterator[_Sample]:
    for group, sums in configured.items():
        yield dict(zip(_LABELS, group, strict=True)), sums[index]
    # A caller can make thousands of these, and most of their counters are never touched: zeros are left out.
    for group, sums in dynamic.items():
        if sums[index]:
            yield dict(zip(_LABELS, group, strict=True)), sums[index]


def _family(stat: Stat, samples: Iterable[_Sample]) -> Iterator[bytes]:
    """One family: its HELP and TYPE with the first piece, then samples only."""
    rest = iter(samples)
    piece = list(islice(rest, SAMPLES_AT_ONCE))
    text = _text(stat, piece)
    while text:
        yield text
        piece = list(islice(rest, SAMPLES_AT_ONCE))
        text = _text(stat, piece).split(b"\n", 2)[2] if piece else b""


def _text(stat: Stat, samples: Iterable[_Sample]) -> bytes:
    # Untyped: prometheus-client would put `_total` behind the name of a counter, and the reference has none.
    metric = Metric(stat.prometheus, stat.help, "gauge" if stat.kind is Kind.GAUGE else "unknown")
    for labels, value in samples:
        metric.add_sample(metric.name, dict(labels), value)
    return generate_latest(_One(metric))


def _response_time(snapshot: Snapshot) -> bytes:
    stat = RESPONSE_TIME
    metric = Metric(stat.prometheus, stat.help, "histogram")
    below = 0
    for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), snapshot.calls, strict=True):
        below += count
        metric.add_sample(f"{metric.name}_bucket", {**stat.labels, "le": bound}, below)
    metric.add_sample(f"{metric.name}_sum", dict(stat.labels), sum(snapshot.seconds))
    metric.add_sample(f"{metric.name}_count", dict(stat.labels), below)
    return generate_latest(_One(metric))


class _One(Collector):
    """A single family, for a library that writes what a collector gives."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)
