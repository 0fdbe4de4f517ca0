"""Lines in the order of their moments. Envoy writes a line when its request ends, and a moment is when it began.

Rows are held for as long as an earlier one may still come, and handed on in order. One that comes later than that is
handed on with the moment that was reached: the clock of a service does not go back either.
"""

from bisect import bisect_right
from operator import itemgetter

from ratelimit.simulation.replay import Row

# About 100 bytes each, and 2 KB where each has values that no other has, and so a plan of its own.
ROWS_MAX = 200_000
# Fewer are not worth a round of sorting; more are sorted when they are half as many as those that were held before.
ROUND_MIN = 8_192

_moment = itemgetter(0)


class InOrder:
    """Holds rows for `slack_ms`, and never more than about `rows_max`. `late` counts those that came later still.

    `first_ms` and `last_ms` are the moments of the first and the last row that were handed on.
    """

    def __init__(self, slack_ms: int, rows_max: int = ROWS_MAX) -> None:
        self._slack_ms = slack_ms
        self._rows_max = rows_max
        self._held: list[Row] = []
        self._new: list[Row] = []
        self.late = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None

    def add(self, rows: list[Row]) -> list[Row]:
        """Take rows in; those that no earlier one can precede any more."""
        self._new += rows
        if len(self._new) < max(ROUND_MIN, len(self._held) // 2):
            return []
        self._merge()
        horizon = self._held[-1][0] - self._slack_ms
        cut = max(bisect_right(self._held, horizon, key=_moment), len(self._held) - self._rows_max)
        return self._release(cut)

    def rest(self) -> list[Row]:
        """All that is held: no more will come."""
        self._merge()
        return self._release(len(self._held))

    def _merge(self) -> None:
        self._held += self._new
        self._new = []
        self._held.sort(key=_moment)

    def _release(self, cut: int) -> list[Row]:
        released = self._held[:cut]
        del self._held[:cut]
        if not released:
            return released
        reached = self.last_ms
        if reached is None:
            self.first_ms = released[0][0]
        elif released[0][0] < reached:
            late = bisect_right(released, reached - 1, key=_moment)
            self.late += late
            released[:late] = [(reached, plans) for _, plans in released[:late]]
        self.last_ms = released[-1][0]
        return released
