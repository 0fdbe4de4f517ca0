"""The pure decision: from a plan and its counts to what the caller is told and what the metrics count."""

from dataclasses import dataclass

from ratelimit.descriptors.limit import Limit

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
