"""The places of a stream's buckets: what a report touches of each, side by side."""

from array import array
from math import inf

from ratelimit.quota.options import TUNING
from ratelimit.quota.usage_sheet import UsageSheet
from ratelimit.service.rlqs.order import Order


class Places(UsageSheet):
    """The buckets of `order` have the first places, in that order; None where that is not so.

    By place: `parts`, the part of a response that it was told last; `numbers` of ledgers; `sure_per_s`, up to which
    rate what it allowed shows nothing: in a second more than it tells.
    """

    __slots__ = ("numbers", "order", "parts", "sure_per_s")

    def __init__(self, lease_s: float = TUNING.ttl_s) -> None:
        super().__init__(lease_s)
        self.order: Order | None = None
        self.parts: list[bytes] = []
        self.numbers = array("I")
        self.sure_per_s = array("f")

    def add(self, number: int, now_s: float) -> int:
        """A place for a bucket of this ledger."""
        place = self.sit(now_s)
        if place == len(self.parts):
            self.parts.append(b"")
            self.numbers.append(number)
            self.sure_per_s.append(inf)
        self.parts[place], self.numbers[place], self.sure_per_s[place] = b"", number, inf
        return place

    def remove(self, place: int) -> None:
        """Its bucket is gone."""
        self.order = None
        self.parts[place] = b""
        self.leave(place)
