"""How many hits a server is let hold at a time: any number, until it proves slower than what is asked.

Theory. A server that gets more than it can do answers ever later, at last everything too late, and what it does then is
for nobody. So once its breaker was open, few hits may be on their way at first. What comes beyond is refused at once.
As TCP does with its window, each answer that comes soon, within half of the time that a batch has, lets as many more go
out (slow start), until the first that does not; from then on a twentieth as many, and a quarter fewer whenever one
takes longer, at most once for all that were on their way then. When nothing was refused for FREE_AFTER_S, there is no
limit any more.

Nothing is counted without a limit. It begins with an answered probe, and answers come in order, so then nothing is on
its way. Pure: moments (seconds of one clock) come in.
"""

from collections.abc import Sequence

from ratelimit.limiter.counter_store import UNGROUPED, Hit

FIRST = 64
# Fewer would let none of the requests through that have more descriptors, however idle the server is then; and one that
# needs all of REDIS_TIMEOUT for so many is for the breaker.
LEAST = 32
FREE_AFTER_S = 10.0
GROWTH, SHRINK = 0.05, 0.75


class InFlight:
    """Up to `most` hits may be on their way while it is `limited`; each batch has `timeout_s`."""

    def __init__(self, timeout_s: float) -> None:
        self._soon_s = timeout_s / 2
        self._slow_start = False
        # What was sent before this moment tells of the time before the last change.
        self._shrunk_at = 0.0
        self._free_at = 0.0
        self._hits = 0
        self.limited = False
        self.most = 0.0

    def limit(self, now: float) -> None:
        """Begin with few, with nothing on its way."""
        self.limited, self._slow_start = True, True
        self.most, self._hits = float(FIRST), 0
        self._shrunk_at, self._free_at = now, now + FREE_AFTER_S

    def take(self, hits: Sequence[Hit], now: float) -> int:
        """How many of these, from the first on, go out now: what there is room for, a group whole or not at all."""
        room = int(self.most) - self._hits
        fit = min(len(hits), max(0, room))
        if fit < len(hits):
            self._free_at = now + FREE_AFTER_S
            while fit and hits[fit].group != UNGROUPED and hits[fit - 1].group == hits[fit].group:
                fit -= 1
            if not fit and not self._hits:  # what is larger than all room goes alone
                fit = _group_end(hits)
        self._hits += fit
        return fit

    def answered(self, hits: int, sent: float, now: float) -> None:
        """Note that so many hits were answered, or were not in time."""
        # Where there was room, neither a quick answer nor a late one tells what more or less would do.
        used = 2 * self._hits >= self.most
        self._hits = max(0, self._hits - hits)
        if now >= self._free_at:
            self.limited = False
        elif not used:
            return
        elif now - sent <= self._soon_s:
            self.most += hits if self._slow_start else GROWTH * hits
        elif sent >= self._shrunk_at:
            self._slow_start, self._shrunk_at = False, now
            self.most = max(float(LEAST), self.most * SHRINK)


def _group_end(hits: Sequence[Hit]) -> int:
    end = 1
    while end < len(hits) and hits[end].group == hits[0].group != UNGROUPED:
        end += 1
    return end
