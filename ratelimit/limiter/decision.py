"""The pure decision: from a plan and what its charges came to, to what the caller is told."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ratelimit.descriptors.limit import Limit
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.plan import Plan, Verdict

REMAINING_UNLIMITED = 2**32 - 1


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

    `statuses` has one element per descriptor, in the same order. `over_limit` is the overall code before the global
    SHADOW_MODE, which the service applies. `tightest` is the index of the status that the response headers speak of,
    or None. `passed` holds the indices of the descriptors that were counted or not matched and are not over (their
    metadata goes into the response's dynamic metadata).
    """

    over_limit: bool
    statuses: list[DescriptorStatus]
    tightest: int | None
    passed: list[int]


def decide(plan: Plan, results: Sequence[Counted]) -> Decision:
    """Decide a request. `results` has one element per charge.

    OVER_LIMIT overall if a limit outside quota mode is over, or if there are limits in quota mode and all are over.
    QUOTA_MODE puts every limit into quota mode, a descriptor without limit included.
    """
    quota_mode = plan.rules.quota_mode
    decision = Decision(over_limit=False, statuses=[], tightest=None, passed=[])
    failed_limits = failed_quotas = quotas = 0
    smallest = REMAINING_UNLIMITED
    following = iter(results)
    for index, step in enumerate(plan.steps):
        if isinstance(step, Verdict):
            status, in_quota_mode = _BARE[step], quota_mode and step is not Verdict.UNLIMITED
        else:
            status = _judged(step.limit, next(following))
            in_quota_mode = quota_mode or step.limit.quota_mode
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


def _judged(limit: Limit, result: Counted) -> DescriptorStatus:
    over = not result.allowed and not limit.shadow_mode
    return DescriptorStatus(over, limit, result.remaining, result.reset_s)


def _single(number: float) -> float:
    return float(struct.unpack("f", struct.pack("f", number))[0])


_BARE = {
    Verdict.NO_LIMIT: DescriptorStatus(False, None, 0, None),
    Verdict.REPLACED: DescriptorStatus(False, None, 0, None),
    Verdict.UNLIMITED: DescriptorStatus(False, None, REMAINING_UNLIMITED, None),
}
