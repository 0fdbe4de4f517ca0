"""When a worker that ended by itself is started again, and which of its ends are told.

At once, where it took calls and did so for a while or ended for the first time; else ever later. An end for the same
reason as the one before is told only when it took calls in between.
"""

import random

WAIT_S_MIN = 0.25
WAIT_S_MAX = 30.0
# Whoever lived for so long was well.
STEADY_S = 10.0


class Rounds:
    """The lives of one worker, one after the other."""

    def __init__(self) -> None:
        self._early_ends = 0
        self._served = False
        self._told = ""

    def serves(self) -> bool:
        """It takes calls: whether that is news, since an end was told before."""
        self._served = True
        was_told, self._told = self._told, ""
        return bool(was_told)

    def ended(self, reason: str, lived_s: float) -> tuple[float, bool]:
        """It ended: seconds to wait before the next, and whether the reason is news."""
        self._early_ends = 1 if lived_s >= STEADY_S else self._early_ends + 1
        news, self._told = reason != self._told, reason
        served, self._served = self._served, False
        if served and self._early_ends == 1:
            return 0.0, news
        most = min(WAIT_S_MAX, WAIT_S_MIN * 2 ** min(self._early_ends - 1, 10))
        return most * random.uniform(0.5, 1.0), news  # noqa: S311 - workers shall not start all together
