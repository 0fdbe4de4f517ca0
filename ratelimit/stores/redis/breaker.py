"""When a server is asked no more, and when again: pure, moments (seconds of one clock) come in.

Closed, it takes note of how commands ended; five failures in a row or ten among the last twenty open it. Open, nothing
is asked but a probe: one when it opens, then one a second, each a little early at random so that instances do not ask
together. The first probe that succeeds closes it, and what was before is forgotten.
"""

import random
from collections.abc import Callable

IN_ROW = 5
LAST = 20
HALF = LAST // 2
PROBE_EVERY_S = 1.0

_ROW = (1 << IN_ROW) - 1
_ALL = (1 << LAST) - 1


class Breaker:
    """`recent` holds the last outcomes as bits, the newest lowest, 1 for a failure: 0 while nothing went wrong."""

    def __init__(self, spread: Callable[[], float] = random.random) -> None:
        self._spread = spread
        self.open = False
        self.recent = 0

    def failed(self) -> bool:
        """Note a timeout or a lost connection; True where this opens it."""
        if self.open:
            return False
        self.recent = (self.recent << 1 | 1) & _ALL
        self.open = self.recent & _ROW == _ROW or self.recent.bit_count() >= HALF
        return self.open

    def succeeded(self) -> None:
        """Note an answer. What was sent before it opened may be answered after: that closes nothing."""
        if not self.open:
            self.recent = self.recent << 1 & _ALL

    def probe_succeeded(self) -> bool:
        """Close; True where it was open."""
        was, self.open, self.recent = self.open, False, 0
        return was

    def next_probe(self, now: float) -> float:
        """When to ask again after a probe at `now`: in half a second to one."""
        return now + PROBE_EVERY_S * (0.5 + 0.5 * self._spread())
