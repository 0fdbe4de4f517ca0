"""A snapshot in the text format of Prometheus, in pieces.

10,000 series of the longest names are up to 20 MB of text and a second of work. So the text is never whole in memory,
and each piece is a few milliseconds of work at most: whoever reads lets the event loop run between two of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from ratelimit.metrics.counters import BUCKETS_S
from ratelimit.metrics.declared import DOMAIN_NOT_FOUND, LIMIT, RESPONSE_TIME, SHARE, SINGLES, Stat
from ratelimit.metrics.snapshot import Snapshot

SAMPLES_AT_ONCE = 100
GROUPED_AT_ONCE = 500
_LABELS = ("domain", "key1", "key2")

# At the end of the second line; a name and a HELP text hold no line end.
_UNTYPED, _COUNTER = b" untyped\n", b" counter\n"

_Labelled = tuple[Mapping[str, str], float]
Sample = tuple[str, Mapping[str, str], float]
"""What stands behind the family's name, the labels, the value."""
# The labels of a limit: its domain and two keys. What lies deeper in the tree is summed, as the reference does.
_Group = tuple[str, str, str]


def exposition(snapshot: Snapshot, *, response_time_in_ms: bool = False) -> Iterator[bytes]:
    """The text, in pieces; some are empty, where a piece of work has no text yet."""
    yield from _limits(snapshot)
    domains = (({"domain": domain}, count) for domain, count in snapshot.domains_not_found.items())
    yield from _family(DOMAIN_NOT_FOUND, domains)
    yield from _shares(snapshot)
    for _, rows in groupby(SINGLES, key=lambda stat: stat.prometheus):
        present = [stat for stat in rows if stat.name in snapshot.singles]
        if present:
            samples = [(stat.labels, snapshot.singles[stat.name]) for stat in present]
            yield from _family(present[0], samples)
    yield from _response_time(snapshot, in_ms=response_time_in_ms)


def _limits(snapshot: Snapshot) -> Iterator[bytes]:
    configured: dict[_Group, list[int]] = {}
    dynamic: dict[_Group, list[int]] = {}
    for target, series in ((configured, snapshot.configured), (dynamic, snapshot.dynamic)):
        yield from _add_up(series, target, configured)
    for index, stat in enumerate(LIMIT):
        yield from _family(stat, _samples(configured, dynamic, index))


def _shares(snapshot: Snapshot) -> Iterator[bytes]:
    sums: dict[_Group, list[int]] = {}
    yield from _add_up(snapshot.shares, sums, sums)
    for index, stat in enumerate(SHARE if sums else ()):
        yield from _family(stat, _samples(sums, {}, index))


def _add_up(
    series: Mapping[str, Sequence[int]], target: dict[_Group, list[int]], first: Mapping[_Group, list[int]]
) -> Iterator[bytes]:
    """Add each series to its group, in pieces without text: to that of `first`, if it is there, else of `target`."""
    names = iter(series)
    while piece := list(islice(names, GROUPED_AT_ONCE)):
        for name in piece:
            group, numbers = _group(name), series[name]
            sums = first.get(group) or target.setdefault(group, [0] * len(numbers))
            for index, number in enumerate(numbers):
                sums[index] += number
        yield b""


def _group(name: str) -> _Group:
    domain, key1, key2, *_ = (*name.split(".", 3), "", "")
    return domain, key1, key2


def _samples(
    configured: Mapping[_Group, list[int]], dynamic: Mapping[_Group, list[int]], index: int
) -> Iterator[_Labelled]:
    for group, sums in configured.items():
        yield _labels(group), sums[index]
    # A caller can make thousands of these, and most of their counters are never touched: zeros are left out.
    for group, sums in dynamic.items():
        if sums[index]:
            yield _labels(group), sums[index]


def _labels(group: _Group) -> dict[str, str]:
    return {label: text for label, text in zip(_LABELS, group, strict=True) if text}


@dataclass(frozen=True, slots=True)
class Family:
    """Name, HELP and TYPE of samples that belong together; `kind` is counter, gauge, histogram or summary."""

    name: str
    help: str
    kind: str


def family_text(family: Family, samples: Iterable[Sample]) -> Iterator[bytes]:
    """One family, in pieces: its HELP and TYPE with the first, then samples only."""
    rest = iter(samples)
    piece = list(islice(rest, SAMPLES_AT_ONCE))
    text = _text(family, piece)
    while text:
        yield text
        piece = list(islice(rest, SAMPLES_AT_ONCE))
        text = _text(family, piece).split(b"\n", 2)[2] if piece else b""


def bound_text(bound: float) -> str:
    """The bound of a bucket as Go writes it: `0.005`, `1`."""
    return repr(bound).removesuffix(".0")


def _family(stat: Stat, samples: Iterable[_Labelled]) -> Iterator[bytes]:
    family = Family(stat.prometheus, stat.help, stat.kind.value)
    return family_text(family, (("", labels, value) for labels, value in samples))


def _text(family: Family, samples: Iterable[Sample]) -> bytes:
    # prometheus-client would put `_total` behind the name of a counter, and the reference has none.
    written = "unknown" if family.kind == "counter" else family.kind
    metric = Metric(family.name, family.help, written)
    for suffix, labels, value in samples:
        metric.add_sample(family.name + suffix, dict(labels), value)
    text = generate_latest(_One(metric))
    return text.replace(_UNTYPED, _COUNTER, 1) if family.kind == "counter" else text


def _response_time(snapshot: Snapshot, *, in_ms: bool) -> Iterator[bytes]:
    stat = RESPONSE_TIME
    factor = 1000 if in_ms else 1
    samples: list[Sample] = []
    below = 0
    bounds = (*(bound_text(round(bound * factor, 6)) for bound in BUCKETS_S), "+Inf")
    for bound, count in zip(bounds, snapshot.calls, strict=True):
        below += count
        samples.append(("_bucket", {**stat.labels, "le": bound}, below))
    samples.append(("_sum", stat.labels, sum(snapshot.seconds) * factor))
    samples.append(("_count", stat.labels, below))
    return family_text(Family(stat.prometheus, stat.help, "histogram"), samples)


class _One(Collector):
    """A single family, for a library that writes what a collector gives."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        return (self._metric,)
