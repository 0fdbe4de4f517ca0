"""The clock of a store, which all replicas share, as far ahead of this process's as its answers tell."""

from ratelimit.quota.ledger_store import ANSWER_S

# The store's clock and ours may differ by the time of a round trip; beyond this, somebody set one of them.
CLOCK_STEP_S = 0.25


class StoreClock:
    """`known` once the store has answered; `stepped` until somebody has seen to it."""

    __slots__ = ("_ahead_s", "known", "stepped")

    def __init__(self) -> None:
        self._ahead_s = 0.0
        self.known = self.stepped = False

    def hear(self, there_s: float, asked_s: float) -> None:
        """Take in the store's clock, read since the question went out at `asked_s` of ours."""
        most = there_s - asked_s
        if not self.known:
            self.known, self._ahead_s = True, most
        ahead_s = min(max(self._ahead_s, most - ANSWER_S), most)
        if abs(ahead_s - self._ahead_s) > CLOCK_STEP_S:
            self.stepped = True
        self._ahead_s = ahead_s

    def there(self, here_s: float) -> float:
        """A moment of ours by the store's clock."""
        return here_s + self._ahead_s

    def here(self, there_s: float) -> float:
        """A moment of the store's by our clock."""
        return there_s - self._ahead_s
