"""A snapshot as `name: value` lines for people: /stats, in pieces."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ratelimit.metrics.declared import DOMAIN_NOT_FOUND, LIMIT, RESPONSE_TIME, SHARE, Stat
from ratelimit.metrics.snapshot import Snapshot

# So many names are sorted in about a millisecond, and so many series written.
SORTED_AT_ONCE = 2_000
SERIES_AT_ONCE = 200


def stat_lines(snapshot: Snapshot) -> Iterator[str]:
    """The text, in pieces; some are empty. By name: first what is there once, then domains, then limit after limit."""
    calls = sum(snapshot.calls)
    mean_ms = round(1000 * sum(snapshot.seconds) / calls, 3) if calls else 0
    singles: dict[str, float] = {**snapshot.singles, RESPONSE_TIME.name: mean_ms}
    yield "".join(f"{name}: {number}\n" for name, number in sorted(singles.items()))
    domains = snapshot.domains_not_found
    yield from _series(domains, lambda name: f"{DOMAIN_NOT_FOUND.name.format(name)}: {domains[name]}\n")
    shares = snapshot.shares
    yield from _series(shares, lambda name: _lines(SHARE, name, shares[name]))
    yield from _series(snapshot.configured, lambda name: _lines(LIMIT, name, snapshot.configured[name]))
    yield from _series(snapshot.dynamic, lambda name: _lines(LIMIT, name, snapshot.dynamic[name], zeros=False))


def _lines(stats: Iterable[Stat], name: str, numbers: Iterable[int], *, zeros: bool = True) -> str:
    """The lines of one series; zeros of one that a caller made say nothing and are left out."""
    rows = zip(stats, numbers, strict=True)
    return "".join(f"{stat.name.format(name)}: {number}\n" for stat, number in rows if zeros or number)


def _series(names: Iterable[str], write: Callable[[str], str]) -> Iterator[str]:
    rest = iter(names)
    runs = []
    while run := sorted(islice(rest, SORTED_AT_ONCE)):
        runs.append(run)
        yield ""
    # Merged one by one as they are written: sorting 30,000 names at once would hold the loop.
    ordered = heapq.merge(*runs)
    while piece := list(islice(ordered, SERIES_AT_ONCE)):
        yield "".join(map(write, piece))
