"""The pure decision: from a plan and its counts to what the caller is told and what the metrics count."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ratelimit.descriptors.limit import Limit
from ratelimit.limiter.plan import Charge, Plan, Verdict
from ratelimit.limiter.window import seconds_until_reset

REMAINING_UNLIMITED = 2**32 - 1


@dataclass(slots=True)
class Tally:
    """What one charge adds to the metrics of its limit; each field is the stat of that name, in hits."""

    stat_key: str
    total_hits: int = 0
    over_limit: int = 0
    near_limit: int = 0
    over_limit_with_local_cache: int = 0
    within_limit: int = 0
    shadow_mode: int = 0
    total_negative_hits: int = 0


@dataclass(slots=True)
class DescriptorStatus:
    """`RateLimitResponse.DescriptorStatus` as a value.

    Without a limit `limit` and `duration_until_reset_s` are None. `limit_remaining` is REMAINING_UNLIMITED for an
    unlimited limit.
    """

    over_limit: bool
    limit: Limit | None
    limit_remaining: int
    duration_until_reset_s: int | None


@dataclass(slots=True)
class Decision:
    """The answer to one request.

    `statuses` has one element per descriptor, in the same order; `tallies` one per charge. `over_limit` is the overall
    code before the global SHADOW_MODE, which the service applies. `tightest` is the index of the status that the
    response headers speak of, or None. `passed` holds the indices of the descriptors that were counted or not matched
    and are not over (their metadata goes into the response's dynamic metadata).
    """

    over_limit: bool
    statuses: list[DescriptorStatus]
    tallies: list[Tally]
    tightest: int | None
    passed: list[int]


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """What the settings say of every decision: NEAR_LIMIT_RATIO and QUOTA_MODE."""

    near_limit_ratio: float = 0.8
    quota_mode: bool = False


def decide(plan: Plan, counts: Sequence[int | None], now: int, rules: DecisionRules) -> Decision:
    """Decide a request. `counts` has one element per charge: the count after it, None where the over-limit cache knew.

    OVER_LIMIT overall if a limit outside quota mode is over, or if there are limits in quota mode and all are over.
    """
    decision = Decision(over_limit=False, statuses=[], tallies=[], tightest=None, passed=[])
    failed_limits = failed_quotas = quotas = 0
    smallest = REMAINING_UNLIMITED
    following = iter(counts)
    for index, step in enumerate(plan.steps):
        if isinstance(step, Verdict):
            status, in_quota_mode = _BARE[step], rules.quota_mode and step is not Verdict.UNLIMITED
        else:
            status = _judge(step, next(following), now, rules, decision.tallies)
            in_quota_mode = rules.quota_mode or step.limit.quota_mode
        decision.statuses.append(status)
        quotas += in_quota_mode
        if status.limit is not None and status.limit_remaining < smallest:
            decision.tightest, smallest = index, status.limit_remaining
        if not status.over_limit:
            if step is not Verdict.UNLIMITED:
                decision.passed.append(index)
        elif in_quota_mode:
            failed_quotas += 1
        else:
            failed_limits += 1
            decision.tightest, smallest = index, 0
    decision.over_limit = failed_limits > 0 or 0 < quotas == failed_quotas
    return decision


@lru_cache(maxsize=4096)
def near_limit_threshold(requests_per_unit: int, ratio: float) -> int:
    """floor(limit × ratio) in single precision, as envoyproxy/ratelimit has it: 100 × 0.29 is 29."""
    return math.floor(_single(_single(requests_per_unit) * _single(ratio)))


def _judge(charge: Charge, after: int | None, now: int, rules: DecisionRules, tallies: list[Tally]) -> DescriptorStatus:
    limit, tally = charge.limit, Tally(charge.stat_key)
    tallies.append(tally)
    if charge.amount < 0:
        tally.total_negative_hits = -charge.amount
    else:
        tally.total_hits = charge.amount
    over = after is None or after > limit.requests_per_unit
    if after is None:
        tally.over_limit = tally.over_limit_with_local_cache = charge.amount
        tally.shadow_mode = charge.amount if limit.shadow_mode else 0
    elif charge.amount >= 0:
        _tally_count(tally, charge, after, rules.near_limit_ratio)
    remaining = 0 if over else limit.requests_per_unit - (after or 0)
    return DescriptorStatus(over and not limit.shadow_mode, limit, remaining, seconds_until_reset(limit.unit, now))


def _tally_count(tally: Tally, charge: Charge, after: int, ratio: float) -> None:
    """Crossing a threshold counts only the hits beyond it."""
    amount, most = charge.amount, charge.limit.requests_per_unit
    before, near = max(0, after - amount), near_limit_threshold(most, ratio)
    if after > most:
        tally.over_limit = amount if before >= most else after - most
        tally.near_limit = 0 if before >= most else most - max(near, before)
        tally.shadow_mode = tally.over_limit if charge.limit.shadow_mode else 0
        return
    tally.within_limit = amount
    if after > near:
        tally.near_limit = amount if before >= near else after - near


def _single(number: float) -> float:
    return float(struct.unpack("f", struct.pack("f", number))[0])


_BARE = {
    Verdict.NO_LIMIT: DescriptorStatus(False, None, 0, None),
    Verdict.REPLACED: DescriptorStatus(False, None, 0, None),
    Verdict.UNLIMITED: DescriptorStatus(False, None, REMAINING_UNLIMITED, None),
}
