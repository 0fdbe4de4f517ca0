"""One plan: what each Envoy should have, and which rates change now.

Theory. The target is max-min fair; what is left over goes to those who refuse. Rates that are too high are cut first:
what a cut frees is given only when the Envoy has acknowledged it, so a plan gives what nobody holds, and takes what it
lacks beyond that. A change costs the tokens of a fresh bucket, so it must be worth them (the band).
"""

# ruff: noqa: FURB136 - `min` and `max` cost more than all else in the loops over all rows

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from operator import itemgetter

from ratelimit.quota.assignment import FILL_INTERVAL_S
from ratelimit.quota.max_min import max_min
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row

# How the spare goes while some refuse: this part evenly, the rest to them by what they refuse.
_SPARE_EVEN = 0.2
# A cut of more than half of a surplus cuts all of it: two changes cost more tokens than one.
_CUT_WHOLE = 0.5
# Who lacks more than this part of its target gets also what others have within their band.
_STARVED = 0.1
_PRIOR_OF_OTHERS = 1.5


@dataclass(slots=True)
class Change:
    """`row` is to have `rate`."""

    row: Row
    rate: float


def prior(live: Sequence[Row], options: LedgerOptions) -> float:
    """What an Envoy of which nothing is known is taken to want."""
    even = options.limit_per_s / max(len(live), options.envoys_expected, 1)
    known = [row.estimate for row in live if not row.fresh]
    return min(even, _PRIOR_OF_OTHERS * sum(known) / len(known)) if 2 * len(known) > len(live) else even


def divide(rows: Sequence[Row], over: float, options: LedgerOptions) -> list[Change]:
    """The changes to make now, cuts first. `over` is what bursts took beyond their part, in requests per second."""
    live: list[Row] = []
    held = held_live = 0.0
    tokens = 0
    for row in rows:
        held += row.hold
        if not (row.silent or row.abandoned):
            live.append(row)
            held_live += row.hold
            tokens += row.tokens
    if not live:
        return []
    away = held - held_live
    wants = _wants(live, options)
    targets = _targets(live, wants, options.limit_per_s - away, options)
    free = options.limit_per_s - over - held
    freeing = held_live - tokens / FILL_INTERVAL_S
    return _changes(live, wants, targets, (free, freeing), options)


def _wants(live: Sequence[Row], options: LedgerOptions) -> list[float]:
    tuning = options.tuning
    least = options.share_min * options.limit_per_s / sum(row.weight for row in live)
    unknown = prior(live, options)
    # The root of the whole, once: this and the loop below are most of what a plan costs.
    noise = tuning.noise / sqrt(tuning.report_s)
    wants = []
    for row in live:
        estimate, floor = row.estimate, least * row.weight
        want = unknown if row.fresh else estimate + noise * sqrt(estimate)
        wants.append(want if want > floor else floor)
    return wants


def _targets(live: Sequence[Row], wants: Sequence[float], capacity: float, options: LedgerOptions) -> list[float]:
    spare = capacity - sum(wants)
    if spare < 0:
        return max_min(wants, [row.weight for row in live], capacity)
    refused = sum(row.denied for row in live if row.hungry)
    if refused <= 0:
        each = spare / max(len(live), options.envoys_expected)
        return [want + each for want in wants]
    even, part = _SPARE_EVEN * spare / len(live), (1 - _SPARE_EVEN) * spare / refused
    return [want + even + (part * row.denied if row.hungry else 0.0) for row, want in zip(live, wants, strict=True)]


def _changes(
    live: Sequence[Row],
    wants: Sequence[float],
    targets: Sequence[float],
    free_and_freeing: tuple[float, float],
    options: LedgerOptions,
) -> list[Change]:
    tuning, (free, freeing) = options.tuning, free_and_freeing
    hysteresis, cost_s = tuning.hysteresis, tuning.cost_s
    press: list[tuple[Row, float, float, float]] = []
    cuts: list[tuple[Row, float, float]] = []
    small: list[tuple[Row, float, float]] = []
    lack = surplus = starved = 0.0
    for row, want, target in zip(live, wants, targets, strict=True):
        rate = row.tokens / FILL_INTERVAL_S
        band, least, half = hysteresis * rate, row.burst / cost_s, rate / 2
        least = least if least < half else half
        band = band if band > least else least
        gap = target - rate
        if gap > band:
            if row.hungry or row.fresh or want > rate or rate == 0:
                press.append((row, rate, gap, band))
                lack += gap
                starved = gap / target if gap > starved * target else starved
        elif -gap > band:
            cuts.append((row, rate, -gap))
            surplus -= gap
        elif -gap > band / 4:
            small.append((row, rate, -gap))
    take = lack - free - freeing
    if take > surplus and starved > _STARVED:
        # All others a little above their target can leave one with nothing.
        cuts += small
    changes = _cut(cuts, take)
    if free > 0 and press:
        part = min(1.0, free / lack)
        changes += [
            Change(row, rate + part * gap) for row, rate, gap, band in press if _is_worth(row, part, rate, (gap, band))
        ]
    return changes


def _cut(cuts: list[tuple[Row, float, float]], take: float) -> list[Change]:
    """Take so much from a few, the largest surplus first: a change costs a bucket's tokens, however small it is.

    A part of each surplus, for one small Envoy whose estimate jumped, was most of all changes where nothing happened.
    """
    changes: list[Change] = []
    if take > 0:
        cuts.sort(key=itemgetter(2), reverse=True)
    for row, rate, gap in cuts:
        if take <= 0:
            break
        changes.append(Change(row, rate - (gap if take > _CUT_WHOLE * gap else take)))
        take -= gap
    return changes


def _is_worth(row: Row, part: float, rate: float, gap_and_band: tuple[float, float]) -> bool:
    gap, band = gap_and_band
    if row.unknown:
        # What it holds is not known, and may be more than this: it keeps that until there is enough.
        return part >= _CUT_WHOLE
    return rate == 0 or part * gap > band / 2
