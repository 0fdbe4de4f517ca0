"""What hits add to the metrics of their limit, by envoyproxy/ratelimit's rules."""

from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.plan import Charge


def tally(charge: Charge, before: int, after: int) -> None:
    """Add the hits of `charge` that brought its counter from `before` to `after`, one after the other.

    One hit or a run of them: crossing a threshold counts only what lies beyond it, so near and over add up over a run
    to what lies beyond between its two ends. Only a hit that ends within the limit is within, whole; so the number of
    those is counted. A refund is told by `charge.amount` alone.
    """
    stats, amount, limit, near = charge.stats, charge.amount, charge.requests_per_unit, charge.near_limit
    if amount < 0:
        stats.total_negative_hits -= amount
        return
    hits = after - before
    stats.total_hits += hits
    if after <= near:  # the common case: nothing is crossed
        stats.within_limit += hits
        return
    stats.near_limit += max(0, min(after, limit) - max(near, before))
    if after <= limit:
        stats.within_limit += hits
        return
    if amount and before < limit:
        stats.within_limit += (limit - before) // amount * amount
    over = after - max(limit, before)
    stats.over_limit += over
    if charge.limit.shadow_mode:
        stats.shadow_mode += over


def tally_known(charge: Charge, times: int = 1) -> None:
    """Add so many hits of `charge` that the over-limit cache denied: the store never saw them."""
    stats, hits = charge.stats, charge.amount * times
    stats.total_hits += hits
    stats.over_limit += hits
    stats.over_limit_with_local_cache += hits
    if charge.limit.shadow_mode:
        stats.shadow_mode += hits


def tally_own(charge: Charge, result: Counted, *, charged_beyond: bool) -> None:
    """Add a hit that no other request shares. `charged_beyond`: a hit that is over its limit is charged all the same.

    What is within its limit counts as if it was charged, also where another charge of the request kept it from being.
    """
    if charge.amount < 0 or result.allowed or charged_beyond:
        tally(charge, result.count - charge.amount, result.count)
        return
    stats, hits = charge.stats, charge.amount
    stats.total_hits += hits
    stats.over_limit += hits
    if charge.limit.shadow_mode:
        stats.shadow_mode += hits
