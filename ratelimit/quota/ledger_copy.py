"""The copy of a shared ledger that a replica works on: others change it too, in the store."""

from collections.abc import Mapping
from math import inf

from ratelimit.quota.assignment import Push
from ratelimit.quota.demand import take_in
from ratelimit.quota.head import Head
from ratelimit.quota.ledger import Ledger
from ratelimit.quota.options import GAP_S
from ratelimit.quota.row import Row
from ratelimit.quota.usage_sheet import is_plain


class LedgerCopy(Ledger):
    """A ledger whose rows are put back to what the store has, where that is something else than was decided here."""

    __slots__ = ()

    def take_report(self, envoy: str, allowed: int, denied: int, elapsed_s: float, now_s: float) -> Push | None:
        """The same as a ledger's; most were only noted when they came."""
        row, head = self.rows.get(envoy), self.head
        since_s = now_s - head.at
        if row is None or row.renewal is None or since_s >= GAP_S or not is_plain(allowed, denied, elapsed_s, since_s):
            return super().take_report(envoy, allowed, denied, elapsed_s, now_s)
        head.at = now_s
        take_in(row, (allowed, denied, elapsed_s), now_s, self.options.tuning)
        row.exp = now_s + self.lease_s
        self.changed.add(envoy)
        self._reported.append(row)
        self._wanted = True
        self.next_tick_s = min(head.next_plan_s, self._watch.next_s)
        return row.renewal

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
