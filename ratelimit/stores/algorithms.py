"""The algorithms beside the fixed window, as the memory store counts them: what lua/*.lua do, number for number.

Each takes what is held of a counter and a hit, and gives the result, what is held then (None: as before), and until
which unix millisecond that tells anything. All numbers are floats with whole values, since Lua has nothing else: then
both round alike where a product is beyond 2**53.
"""

import math
from collections.abc import Callable

from ratelimit.limiter.algorithm import GCRA, SLIDING_WINDOW, Algorithm, Counted
from ratelimit.limiter.counter_store import COUNT_MAX, Hit

State = tuple[float, ...]
Outcome = tuple[Counted, State | None, float]


def sliding_window(held: State | None, hit: Hit) -> Outcome:
    """Held is (window start in ms, hits in that window, hits in the one before)."""
    window, now, amount = hit.key.window_s * 1000.0, float(hit.at_ms), float(hit.amount)
    began = now - now % window
    start, current, before = held or (began, 0.0, 0.0)
    if start > began:
        now = max(now, start)
    elif start == began - window:
        start, current, before = began, 0.0, current
    elif start < began:
        start, current, before = began, 0.0, 0.0
    left = window - (now - start)
    used = current + math.ceil(before * left / window)
    allowed = used + max(0.0, amount) <= hit.limit
    after: State | None = None
    if (amount < 0 and current + before > 0) or (amount > 0 and allowed):
        reached = current + amount
        current = min(float(COUNT_MAX), max(0.0, reached))
        before = max(0.0, before + min(0.0, reached))
        used = current + math.ceil(before * left / window)
        after = (start, current, before)
    if amount < 0:
        allowed = used <= hit.limit
    reset_ms = left + window if current > 0 else left if before > 0 else 0.0
    return counted(int(used), hit.limit, reset_ms, allowed=allowed), after, start + 2 * window


def gcra(held: State | None, hit: Hit) -> Outcome:
    """Held is (level, its moment in ms): a hit is `window` units of the level, a millisecond drains `limit`."""
    window, now, amount, limit = hit.key.window_s * 1000.0, float(hit.at_ms), float(hit.amount), float(hit.limit)
    level, last = held or (0.0, now)
    now = max(now, last)
    level = max(0.0, level - (now - last) * limit)
    allowed = level + max(0.0, amount) * window <= limit * window
    after: State | None = None
    if (amount < 0 and level > 0) or (amount > 0 and allowed):
        level = max(0.0, level + amount * window)
        after = (level, now)
    if amount < 0:
        allowed = level <= limit * window
    reset_ms = math.ceil(level / limit) if limit > 0 else 0
    until = now + (reset_ms if limit > 0 else window)
    return counted(math.ceil(level / window), hit.limit, reset_ms, allowed=allowed), after, until


def counted(used: int, limit: int, reset_ms: float, *, allowed: bool) -> Counted:
    """The result of a hit; seconds are rounded up."""
    return Counted(used, allowed, max(0, limit - used), math.ceil(reset_ms / 1000))


COUNTING: dict[Algorithm, Callable[[State | None, Hit], Outcome]] = {SLIDING_WINDOW: sliding_window, GCRA: gcra}
