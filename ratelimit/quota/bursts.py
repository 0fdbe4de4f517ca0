"""How many tokens a bucket holds. It starts full, so each changed assignment gives them away.

Of a Poisson stream of x times the rate, x to the power of the size overflow of the bucket, or lack where x is above 1:
few tokens are enough where demand and rate differ, and only near balance it takes many. Who refused requests is near
balance as soon as it is given what it wants: the size for that at once saves a second change.
"""

# ruff: noqa: FURB136 - `min` and `max` cost more than all else here, with every report

from collections.abc import Iterable
from math import ceil, log

from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row

# The least where all tokens are asked for at once: what passes until the next request of a busy Envoy.
_HUNGRY_S = 0.02
_CUT_MIN = 4
_BALANCE = 1e-3
# A bucket that should be larger by this is worth a change.
GROWTH = 1.5


def small(rows: Iterable[Row], live: int, options: LedgerOptions) -> list[Row]:
    """Those that may have much less than `burst` says for what they are told: found without its logarithm."""
    tuning = options.tuning
    window = options.limit_per_s * tuning.window_s / (live or 1)
    calm = min(tuning.burst_part * window, tuning.burst_most)
    hungry = min(tuning.burst_part_hungry * window, tuning.burst_most)
    found = []
    for row in rows:
        rate = row.rate
        least, room = tuning.burst_s * rate, hungry if row.hungry and rate < row.estimate else calm
        if GROWTH * row.burst < (least if least > room else room) + 1:
            found.append(row)
    return found


def burst(row: Row, rate: float, live: int, options: LedgerOptions) -> int:
    """The size for `row` at a rate, where `live` Envoys share the window."""
    tuning = options.tuning
    estimate, fresh = row.estimate, row.fresh
    refuses = fresh or (row.hungry and rate < estimate)
    part = tuning.burst_part_hungry if refuses else tuning.burst_part
    room = part * options.limit_per_s * tuning.window_s / (live or 1)
    room = room if room < tuning.burst_most else tuning.burst_most
    if not fresh and rate > 0 and estimate > 0:
        apart = abs(log(rate / estimate))
        few = tuning.burst_logs / (apart if apart > _BALANCE else _BALANCE)
        room = few if few < room else room
    least = (tuning.burst_s if rate > estimate else _HUNGRY_S) * rate
    size = ceil(least if least > room else room)
    return size if size > tuning.burst_min else tuning.burst_min


def cut_burst(rate: float) -> int:
    """The most for who refuses requests and gets less than before: all tokens are taken at once."""
    return max(_CUT_MIN, ceil(_HUNGRY_S * rate))
