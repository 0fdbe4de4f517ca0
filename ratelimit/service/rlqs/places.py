"""The places of a stream's buckets: what a report touches of each, side by side."""

from array import array
from math import inf

from ratelimit.quota.usage_sheet import UsageSheet


class Places(UsageSheet):
    """`in_order` says how many buckets have the first places in the order in which they are reported; 0: not known.

    By place: `parts`, the part of a response that it was told last; `numbers` of ledgers; `sure_per_s`, up to which
    rate what it allowed shows nothing: in a second more than it tells.
    """

    __slots__ = ("in_order", "numbers", "parts", "sure_per_s")

    def __init__(self) -> None:
        super().__init__()
        self.in_order = 0
        self.parts: list[bytes] = []
        self.numbers = array("L")
        self.sure_per_s = array("d")

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
        self.in_order = 0
        self.parts[place] = b""
        self.leave(place)
