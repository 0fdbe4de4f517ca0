"""How often a replica synchronises a shared ledger, and what the others are promised of that.

A lease that was renewed here is unknown to the others until then, so leases are written into the store as lasting that
much longer. To synchronise less often is promised first: it begins when all leases there are were written with that.
"""

from math import inf

# However seldom plans are.
SYNC_EVERY_S = 3.0
# To the store and back.
_ROUND_TRIP_S = 0.25


class Pace:
    """`sync_every_s` is kept; `unseen_s` is how long a renewal may be unknown to the others, as they were told."""

    __slots__ = ("_promised_s", "_since_s", "sync_every_s")

    def __init__(self, every_s: float) -> None:
        self.sync_every_s = self._promised_s = min(every_s, SYNC_EVERY_S)
        self._since_s = -inf

    @property
    def unseen_s(self) -> float:
        """What leases are lengthened by."""
        return self._promised_s + _ROUND_TRIP_S

    def follow(self, every_s: float, lease_s: float, now_s: float) -> None:
        """Synchronise so often, as soon as that may be; `lease_s` is the longest that a lease can last."""
        every_s = min(every_s, SYNC_EVERY_S)
        if every_s > self._promised_s:
            self._promised_s, self._since_s = every_s, now_s
        elif every_s < self._promised_s:
            self._promised_s = every_s
            self.sync_every_s = min(self.sync_every_s, every_s)
        if now_s >= self._since_s + lease_s:
            self.sync_every_s = self._promised_s
