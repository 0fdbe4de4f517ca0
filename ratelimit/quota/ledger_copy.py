"""The copy of a shared ledger that a replica works on: others change it too, in the store."""

from collections.abc import Mapping
from math import inf

from ratelimit.quota.head import Head
from ratelimit.quota.ledger import Ledger
from ratelimit.quota.row import Row


class LedgerCopy(Ledger):
    """A ledger whose rows are put back to what the store has, where that is something else than was decided here."""

    __slots__ = ()

    def restore(self, rows: Mapping[str, Row | None], head: Head) -> None:
        """Take over rows that others changed; what was decided here since the last `collect` is void."""
        for envoy, row in rows.items():
            if row is None:
                self.rows.pop(envoy, None)
            else:
                self.rows[envoy] = row
        self.head = head
        self.changed.clear()
        self._out.clear()
        self._to_answer.clear()
        self._notes.clear()
        self._reported.clear()
        self._wanted = True
        self._watch.begin_anew(self.rows.values(), -inf)
        self.next_tick_s = -inf

    def distrust_ends(self) -> None:
        """Wait for the leases of all whose stream ended: they may have come back unseen."""
        for row in self.rows.values():
            if row.gone and row.back < inf:
                row.back = inf
                self.changed.add(row.envoy)

    def answer(self, envoy: str) -> None:
        """Tell an Envoy what holds for it, at the next tick."""
        self._to_answer[envoy] = None
