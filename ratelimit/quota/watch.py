"""Who should have been heard of.

Nearly always nobody is overdue, and to find that out by looking at all rows is what costs. So what is known of that is
kept: those that were asked something, and a moment before which nobody else can be overdue.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from math import inf
from operator import attrgetter

from ratelimit.quota.leases import overdue_at, released_at
from ratelimit.quota.options import AckMode, LedgerOptions
from ratelimit.quota.row import Row

_last, _silent = attrgetter("last"), attrgetter("silent")


class Watch:
    """Of the rows of one ledger. `next_s` is when to look at them again; `late_s` how late this service itself is."""

    __slots__ = ("_asked", "_others_s", "late_s", "next_s")

    def __init__(self) -> None:
        self.next_s, self.late_s = inf, 0.0
        # Who was asked something since it was last looked at; some have answered.
        self._asked: list[Row] = []
        # Reports only move this further away.
        self._others_s = -inf

    def ask(self, row: Row, now_s: float, options: LedgerOptions) -> None:
        """Wait for its acknowledgement of what is being sent."""
        row.await_ack(now_s)
        self._asked.append(row)
        self.next_s = min(self.next_s, now_s + options.tuning.ack_within_s)

    def look_at_all(self, at_s: float) -> None:
        """Look at every row at this moment, or before it: somebody fell silent."""
        self._others_s = -inf
        self.next_s = min(self.next_s, at_s)

    def begin_anew(self, rows: Iterable[Row], at_s: float) -> None:
        """Other rows are there, or their moments were changed."""
        self._asked = [row for row in rows if row.pend < inf]
        self._others_s, self.next_s = -inf, at_s

    def looks_at_all(self, now_s: float) -> bool:
        """Whether `quiet_until` looks at when each row was heard of."""
        return now_s >= self._others_s

    def quiet_until(self, rows: Collection[Row], now_s: float, options: LedgerOptions) -> float:
        """A moment before which nobody is overdue; it is past where all rows have to be looked at."""
        tuning = options.tuning
        if self.looks_at_all(now_s):
            heard_s = -inf if any(map(_silent, rows)) else min(map(_last, rows), default=inf)
            self._others_s = heard_s + tuning.overdue_s + tuning.report_s + self.late_s
        self._asked = [row for row in self._asked if row.pend < inf]
        if options.ack is AckMode.REPORT or not self._asked:
            return self._others_s
        return min(self._others_s, min(row.pend for row in self._asked) + tuning.ack_within_s + self.late_s)

    def due(self, rows: Mapping[str, Row], now_s: float, options: LedgerOptions, replica: str) -> Iterator[Row]:
        """Whoever is overdue, and whoever is silent and holds nothing more; each is dealt with before the next."""
        tuning, next_s = options.tuning, inf
        for row in list(rows.values()):
            if not row.silent:
                due_s = overdue_at(row, options) + self.late_s
                if now_s >= due_s:
                    yield row
                    due_s = now_s + tuning.ack_within_s
                next_s = min(next_s, due_s)
            if row.silent:
                over_s = released_at(row, rows.values(), replica, tuning)
                if now_s >= over_s:
                    yield row
                else:
                    next_s = min(next_s, over_s)
        self.next_s = max(next_s, now_s + tuning.watch_every_s)
