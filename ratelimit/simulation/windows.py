"""The counters of the fast lane: fixed windows of charges that nothing is charged together with.

A counter is a cell, a list of one number, that its charges hold while its window lasts: to count is to add to it. Cells
are kept by the second in which their window ends, and all of such a second are dropped at once when it comes.
"""

import heapq

from ratelimit.limiter.counter_store import COUNT_MAX
from ratelimit.limiter.plan import Charge
from ratelimit.simulation.tallies import Tally

Cell = list[int]


class Reached:
    """A descriptor that reached a limit, or none, and what its requests came to since they were last tallied."""

    __slots__ = ("denied", "first_ms", "key", "last_ms", "over", "requests", "tally")

    def __init__(self, tally: Tally, key: str) -> None:
        self.tally = tally
        self.key = key
        self.requests = 0
        self.over = 0
        self.denied = 0
        self.first_ms = 0
        self.last_ms = 0

    def is_over(self, ms: int) -> None:
        """Take note of a request over the limit."""
        if not self.over:
            self.first_ms = ms
        self.over += 1
        self.last_ms = ms

    def tell(self) -> tuple[int, int]:
        """Give the tally what came since, and begin anew; how many requests that were, and how many over the limit."""
        tally, requests, over = self.tally, self.requests, self.over
        tally.requests += requests
        tally.busiest.add(self.key, requests, over)
        if over:
            tally.over += over
            tally.denied += self.denied
            tally.was_over(self.first_ms, self.last_ms)
        self.requests = self.over = self.denied = 0
        return requests, over


class ReachedCharge(Reached):
    """One that is counted. `cell` is its counter until the unix millisecond `ends_ms`, in the fast lane."""

    __slots__ = ("amount", "cell", "charge", "ends_ms", "limit")

    def __init__(self, tally: Tally, key: str, charge: Charge) -> None:
        super().__init__(tally, key)
        self.charge = charge
        self.amount = charge.amount
        self.limit = charge.requests_per_unit
        self.cell: Cell | None = None
        self.ends_ms = 0

    def tell(self) -> tuple[int, int]:
        if self.cell is not None:
            self.tally.saw(self.cell[0])
        return super().tell()


class Windows:
    """All cells whose windows have not ended."""

    def __init__(self) -> None:
        self._cells: dict[int, dict[bytes, Cell]] = {}
        self._ends: list[int] = []

    def __len__(self) -> int:
        return sum(map(len, self._cells.values()))

    def turn(self, reached: ReachedCharge, ms: int) -> Cell:
        """Be ready for the unix millisecond `ms`, no earlier than any before: the cell of its window."""
        if reached.cell is not None:
            reached.tally.saw(reached.cell[0])
        now, charge = ms // 1_000, reached.charge
        while self._ends and self._ends[0] <= now:
            del self._cells[heapq.heappop(self._ends)]
        charge.turn(now, 0)
        key = charge.key
        end = key.window_start + key.window_s
        cells = self._cells.get(end)
        if cells is None:
            cells = self._cells[end] = {}
            heapq.heappush(self._ends, end)
        cell = reached.cell = cells.setdefault(key.name, [0])
        reached.ends_ms = end * 1_000
        return cell

    def add(self, reached: ReachedCharge, ms: int) -> int:
        """Count any amount, as `limiter.counter_store` says; the count after it."""
        cell = reached.cell
        if cell is None or ms >= reached.ends_ms:
            cell = self.turn(reached, ms)
        amount = reached.amount
        if amount < 0:
            reached.tally.saw(cell[0])
        count = cell[0] = max(0, min(COUNT_MAX, cell[0] + amount))
        return count
