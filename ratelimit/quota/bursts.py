"""How many tokens a bucket holds. It starts full, so each changed assignment gives them away.

Of a Poisson stream of x times the rate, x to the power of the size overflow of the bucket, or lack where x is above 1:
few tokens are enough where demand and rate differ, and only near balance it takes many.
"""

from math import ceil, log

from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row

# The least where all tokens are asked for at once: what passes until the next request of a busy Envoy.
HUNGRY_S = 0.02
_BALANCE = 1e-3


def burst(row: Row, rate: float, live: int, options: LedgerOptions) -> int:
    """The size for `row` at a rate, where `live` Envoys share the window."""
    tuning = options.tuning
    part = tuning.burst_part_hungry if row.hungry or row.fresh else tuning.burst_part
    room = min(float(tuning.burst_most), part * options.limit_per_s * tuning.window_s / max(live, 1))
    if not row.fresh and rate > 0 and row.estimate > 0:
        room = min(room, tuning.burst_logs / max(abs(log(rate / row.estimate)), _BALANCE))
    least_s = tuning.burst_s if rate > row.estimate else HUNGRY_S
    return max(tuning.burst_min, ceil(least_s * rate), ceil(room))
