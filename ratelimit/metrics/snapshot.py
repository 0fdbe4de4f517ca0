"""What was counted at one moment, as plain values: it can be pickled, sent as JSON, and merged with others."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ratelimit.metrics.declared import LIMIT, SINGLES, Merge, Stat


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The numbers of one process, or of several merged.

    `singles` holds a number for each row of SINGLES under its name, as far as the process has it. `calls` and `seconds`
    are RESPONSE_TIME's, one for each bucket. `configured` and `dynamic` hold a number for each row of LIMIT, in that
    order, by series; `domains_not_found` one by domain.
    """

    singles: dict[str, int]
    calls: list[int]
    seconds: list[float]
    configured: dict[str, tuple[int, ...]]
    dynamic: dict[str, tuple[int, ...]]
    domains_not_found: dict[str, int]


def merge(snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot of several processes, each stat by its own rule. There must be at least one.

    A series that is configured in one of them is configured: one process may plan a limit before another has loaded it.
    """
    first, *others = snapshots
    singles = dict(first.singles)
    calls, seconds = list(first.calls), list(first.seconds)
    configured, dynamic, domains = dict(first.configured), dict(first.dynamic), dict(first.domains_not_found)
    for other in others:
        for stat in SINGLES:
            if stat.name in other.singles:
                singles[stat.name] = _merged(stat, singles.get(stat.name), other.singles[stat.name])
        calls = [mine + theirs for mine, theirs in zip(calls, other.calls, strict=True)]
        seconds = [mine + theirs for mine, theirs in zip(seconds, other.seconds, strict=True)]
        _add_series(configured, other.configured)
        _add_series(dynamic, other.dynamic)
        for domain, count in other.domains_not_found.items():
            domains[domain] = domains.get(domain, 0) + count
    for name in configured.keys() & dynamic.keys():
        _add_series(configured, {name: dynamic.pop(name)})
    return Snapshot(singles, calls, seconds, configured, dynamic, domains)


def _merged(stat: Stat, mine: int | None, theirs: int) -> int:
    if mine is None:
        return theirs
    return max(mine, theirs) if stat.merge is Merge.MAX else mine + theirs


def _add_series(target: dict[str, tuple[int, ...]], source: Mapping[str, tuple[int, ...]]) -> None:
    for name, numbers in source.items():
        held = target.get(name)
        if held is not None:
            target[name] = tuple(
                _merged(stat, mine, theirs) for stat, mine, theirs in zip(LIMIT, held, numbers, strict=True)
            )
        else:
            target[name] = numbers
