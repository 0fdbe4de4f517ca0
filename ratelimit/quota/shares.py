"""Who has what share of a limit: for pages, and added up for metrics."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ratelimit.quota.assignment import FILL_INTERVAL_S
from ratelimit.quota.head import Head
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row


@dataclass(frozen=True, slots=True)
class EnvoyShare:
    """One Envoy: rates in requests per second. `hold` is what may be in force, `rate` what it was told last.

    `age_s` is since its last report; `replica` names the one that it is connected to, "" where there is one only.
    """

    envoy: str
    rate: float
    hold: float
    demand: float
    refused: float
    burst: int
    weight: float
    acknowledged: bool
    silent: bool
    age_s: float
    replica: str


@dataclass(frozen=True, slots=True)
class BucketShares:
    """One bucket: rates in requests per second, over all its Envoys. `envoys` are those with the most first.

    `overshoot_bound` is the part of a window of 10 s that may pass beyond the limit: what buckets hold when they are
    full, and the tokens that changed assignments gave away in the last one.
    """

    limit: float
    assigned: float
    hold: float
    demand: float
    refused: float
    silent: int
    learning: bool
    overshoot_bound: float
    envoys: Sequence[EnvoyShare]


@dataclass(slots=True)
class Totals:
    """The Envoys of one replica, added up: rates in requests per second, `bound` in tokens of 10 s."""

    assigned: float = 0.0
    hold: float = 0.0
    demand: float = 0.0
    refused: float = 0.0
    bound: float = 0.0
    envoys: int = 0
    silent: int = 0


def totals_of(rows: Iterable[Row], head: Head, options: LedgerOptions, now_s: float, replica: str) -> Totals:
    """The same sums as `shares_of` has, without a value for each Envoy; the bound by the part that is held there."""
    totals = Totals()
    hold = held = demand = refused = 0.0
    full = tokens = envoys = silent = 0
    for row in rows:
        if row.hold > 0:
            hold += row.hold
            full += row.burst
        if row.owner == replica:
            tokens += row.tokens
            held += row.hold
            demand += row.estimate
            refused += row.denied
            envoys += 1
            silent += row.silent
    totals.hold, totals.demand, totals.refused = held, demand, refused
    totals.envoys, totals.silent = envoys, silent
    totals.assigned = tokens / FILL_INTERVAL_S
    if hold:
        totals.bound = (_spent(head, options, now_s) + full) * totals.hold / hold
    return totals


def shares_of(rows: Sequence[Row], head: Head, options: LedgerOptions, now_s: float) -> BucketShares:
    """The shares at a moment of the ledger's clock."""
    envoys = [
        EnvoyShare(
            row.envoy,
            row.rate,
            row.hold,
            row.estimate,
            row.denied,
            row.burst,
            row.weight,
            acknowledged=row.hold == row.rate,
            silent=row.silent,
            age_s=max(0.0, now_s - row.last),
            replica=row.owner,
        )
        for row in rows
    ]
    full = sum(row.burst for row in rows if row.hold > 0)
    return BucketShares(
        options.limit_per_s,
        sum(each.rate for each in envoys),
        sum(each.hold for each in envoys),
        sum(each.demand for each in envoys),
        sum(each.refused for each in envoys),
        sum(each.silent for each in envoys),
        now_s < head.learn_until_s,
        (_spent(head, options, now_s) + full) / (options.limit_per_s * options.tuning.window_s),
        sorted(envoys, key=lambda each: -each.hold),
    )


def _spent(head: Head, options: LedgerOptions, now_s: float) -> float:
    """The tokens that changed assignments gave away in the last window."""
    return sum(tokens for at_s, tokens in head.spent if at_s > now_s - options.tuning.window_s)
