"""Counters in this process: exact for one process, and the model that every other store is compared with."""

from collections.abc import Sequence

from ratelimit.clock import Clock
from ratelimit.limiter.counter_store import COUNT_MAX, Counted, Hit

SWEEP_EVERY = 10_000


class MemoryStore:
    """A `CounterStore` in a dictionary; expired counters are swept every SWEEP_EVERY creations."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counters: dict[bytes, tuple[int, float]] = {}
        self._created = 0

    def __len__(self) -> int:
        return len(self._counters)

    def count(self, hits: Sequence[Hit], done: Counted) -> None:
        now = self._clock.now()
        done([self._count(hit, now) for hit in hits])

    def expires_at(self, key: bytes) -> float | None:
        """When the counter goes, in unix seconds; None where there is none."""
        held = self._counters.get(key)
        return held[1] if held is not None and held[1] > self._clock.now() else None

    def _count(self, hit: Hit, now: float) -> int:
        held = self._counters.get(hit.key)
        count, expires_at = held if held is not None and held[1] > now else (None, now + hit.expire_s)
        if count is None and hit.amount <= 0:
            return 0
        count = max(0, min(COUNT_MAX, (count or 0) + hit.amount))
        if held is None or held[1] <= now:
            self._sweep(now)
        self._counters[hit.key] = (count, expires_at)
        return count

    def _sweep(self, now: float) -> None:
        self._created += 1
        if self._created % SWEEP_EVERY == 0:
            self._counters = {key: held for key, held in self._counters.items() if held[1] > now}
