"""What callers are told when the store cannot count: `on_store_error` of their domain.

`error` is UNAVAILABLE, and then Envoy's failure_mode_deny decides; the caller of this file answers it. `allow` and
`deny` stand in for the counts that are missing, as if nothing or everything had been used up; what was counted or is
known stays as it is. So a limit in shadow or quota mode, and SHADOW_MODE, mean what they always mean.
"""

from collections.abc import Sequence

import structlog

from ratelimit.descriptors.specification import OnStoreError
from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.plan import Charge
from ratelimit.limiter.tick import Count
from ratelimit.limiter.window import window_of
from ratelimit.service.plan_memo import PreparedPlan

# So long every call must be counted before it is told that this is over.
OVER_S = 10
_STAND_IN: dict[OnStoreError, int | None] = {OnStoreError.ALLOW: 0, OnStoreError.DENY: None}

_log = structlog.get_logger(__name__)


class Uncounted:
    """The calls that were answered without the store. `domains`: those with such calls, and the second of the last."""

    def __init__(self) -> None:
        self.domains: dict[str, int] = {}

    def note(self, domain: str, choice: OnStoreError, now: int) -> None:
        """One line when it begins."""
        if domain not in self.domains:
            answer = choice.name.lower()
            _log.warning("calls are answered without being counted", domain=domain, on_store_error=answer)
        self.domains[domain] = now

    def counted(self, now: int) -> None:
        """One line when it is over: a whole tick was counted at the second `now`."""
        for domain, last in list(self.domains.items()):
            if now - last >= OVER_S:
                del self.domains[domain]
                _log.warning("calls are counted again", domain=domain)


def answer_without(plan: PreparedPlan, counts: Sequence[Count], choice: OnStoreError, now: int) -> tuple[bool, bytes]:
    """Whether the global shadow mode let an OVER_LIMIT pass, and the response. `choice` is ALLOW or DENY."""
    stand_in = _STAND_IN[choice]
    known = [stand_in if isinstance(count, StoreError) else count for count in counts]
    if plan.status is not None:
        (count,) = known
        left = -1 if count is None else plan.status.requests_per_unit - count
        return False, plan.status.within(left, now) if left >= 0 else plan.status.beyond(now)
    if plan.statuses is not None:
        return False, plan.joined(known, now)
    return plan.decided([_judged(charge, count, now) for charge, count in zip(plan.charges, known, strict=True)])


def _judged(charge: Charge, count: int | None, now: int) -> Counted:
    left_s = window_of(charge.limit, now).reset_s(now)
    if count is None:
        return Counted(charge.requests_per_unit + 1, allowed=False, remaining=0, reset_s=left_s)
    return charge.algorithm.judge(count, charge.requests_per_unit, left_s)
