"""Reports that were taken, and are reckoned later.

An Envoy that obeys what it was told is answered by that again, whatever it counted: what its report says of its demand
is asked for by the next plan, and by nobody before. So a report is noted when it comes, and those of a ledger are
reckoned together: that touches its rows once for all, while with a thousand buckets each report is for another ledger
than the last, and what it touches is in no cache.
"""

from typing import Any

from ratelimit.quota.demand import take_in
from ratelimit.quota.options import Tuning
from ratelimit.quota.row import Row

_FIELDS = 5


class Notes:
    """In the order in which they came; at most one of a row."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        # Row, allowed, denied, seconds, moment, and so on: one list, since each thing more that a report touches is
        # waited for, and no tuples, since a hundred thousand of them would be the garbage collector's to look at.
        self._noted: list[Any] = []

    def __bool__(self) -> bool:
        return bool(self._noted)

    def take(self, row: Row, allowed: int, denied: int, elapsed_s: float, now_s: float) -> None:
        """Note a report of a row that has none here."""
        row.noted = True
        self._noted += (row, allowed, denied, elapsed_s, now_s)

    def clear(self) -> None:
        """Forget them."""
        for row in self._noted[::_FIELDS]:
            row.noted = False
        self._noted.clear()

    def reckon(self, tuning: Tuning, lease_s: float) -> list[Row]:
        """Take them in, each as of when it came; whose they are. Nothing about these rows may have changed since."""
        rows: list[Row] = self._noted[::_FIELDS]
        fields = iter(self._noted)
        for row, allowed, denied, elapsed_s, at_s in zip(*(fields,) * _FIELDS, strict=True):
            take_in(row, (allowed, denied, elapsed_s), at_s, tuning)
            row.exp, row.noted = at_s + lease_s, False
        self._noted.clear()
        return rows
