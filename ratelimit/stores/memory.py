"""Counters in this process: exact for one process, and the model that every other store is compared with.

A counter goes when its window ends. Counters are kept by the second they end in as well, so each batch clears a few of
those that are over, and nothing is ever swept whole. A store that is full refuses new counters and keeps the old:
forgetting a live counter would let its hits be admitted again.
"""

import heapq
from collections.abc import Callable, Sequence
from itertools import groupby

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import FIXED_WINDOW, Counted
from ratelimit.limiter.counter_store import COUNT_MAX, UNGROUPED, Batch, Hit, Results
from ratelimit.stores.algorithms import COUNTING, State

BYTES_MAX = 20 * 1024 * 1024
# What a counter takes beside the bytes of its name: their object, its place in two dictionaries, its numbers.
COUNTER_BYTES = 250
CLEARED_PER_HIT = 4
CLEARED_WHEN_FULL = 64


class MemoryStore:
    """A `CounterStore` in dictionaries of at most `bytes_max` bytes. `refused` counts hits that found it full."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._counts: dict[bytes, tuple[int, int]] = {}
        self._states: dict[bytes, tuple[State, int]] = {}
        self._by_end: dict[int, list[bytes]] = {}
        self._ends: list[int] = []
        self.refused = 0

    def __len__(self) -> int:
        return len(self._counts) + len(self._states)

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        results: list[Counted | StoreError] = []
        self._clear(batch.now, CLEARED_PER_HIT * len(batch.hits))
        for group, hits in groupby(batch.hits, key=lambda hit: hit.group):
            if group == UNGROUPED:
                results += [
                    (self._count if hit.key.algorithm is FIXED_WINDOW else self._count_state)(hit, batch.now)
                    for hit in hits
                ]
            else:
                results += self._count_group(list(hits), batch.now)
        done(results)

    def expires_at(self, name: bytes, now: int) -> int | None:
        """When the counter goes, in unix seconds; None where there is none at the second `now`."""
        _, end = self._states.get(name) or self._counts.get(name, (0, 0))
        return end if end > now else None

    def _count(self, hit: Hit, now: int) -> Counted | StoreError:
        key = hit.key
        held, end = self._counts.get(key.name, (0, 0))
        if end <= now:
            held, end = 0, now + min(key.expire_s, key.reset_s(now))
            if hit.amount > 0 and not self._make_room(key.name, end, now):
                self.refused += 1
                return StoreError("the memory store is full (MEMORY_STORE_BYTES_MAX)")
        count = max(0, min(COUNT_MAX, held + hit.amount))
        if hit.amount > 0 or held:
            self._counts[key.name] = (count, end)
        return key.algorithm.judge(count, hit.limit, key.reset_s(now))

    def _count_state(self, hit: Hit, now: int) -> Counted | StoreError:
        """Count by an algorithm that holds more than a number."""
        name = hit.key.name
        held = self._states.get(name)
        result, state, until_ms = COUNTING[hit.key.algorithm](held and held[0], hit)
        if state is not None:
            end = int(until_ms // 1000) + 1
            if held is None and not self._make_room(name, end, now):
                self.refused += 1
                return StoreError("the memory store is full (MEMORY_STORE_BYTES_MAX)")
            self._states[name] = (state, end)
        return result

    def _count_group(self, hits: Sequence[Hit], now: int) -> list[Counted | StoreError]:
        """Charge the hits of a group together, as `CounterStore` says."""
        only_over = hits[0].group < 0
        reached: dict[bytes, int] = {}
        within: list[bool] = []
        denied = False
        before = [self._held(hit.key.name, now) for hit in hits]
        for hit, held in zip(hits, before, strict=True):
            count = (held if only_over else reached.get(hit.key.name, held)) + hit.amount
            reached[hit.key.name] = max(0, count)
            within.append(count <= hit.limit)
            concerns = hit.amount > 0 or (only_over and hit.amount == 0)
            denied |= concerns and hit.stops and count > hit.limit
        results = []
        for hit, held, allowed in zip(hits, before, within, strict=True):
            if not denied or (only_over and not allowed):
                results.append(self._count(hit, now))
                continue
            count = self._held(hit.key.name, now) if only_over else held
            fits = count <= hit.limit if only_over else allowed
            results.append(Counted(count, fits, max(0, hit.limit - count), hit.key.reset_s(now)))
        return results

    def _held(self, name: bytes, now: int) -> int:
        count, end = self._counts.get(name, (0, 0))
        return count if end > now else 0

    def _make_room(self, name: bytes, end: int, now: int) -> bool:
        """Take in a counter that ends at the second `end`; False where there is no room for it."""
        size = len(name) + COUNTER_BYTES
        if name in self._counts:  # over, and not cleared yet: its size is counted already
            size = 0
        elif self._bytes + size > self._bytes_max:
            self._clear(now, CLEARED_WHEN_FULL)
            if self._bytes + size > self._bytes_max:
                return False
        self._bytes += size
        self._note_end(name, end)
        return True

    def _note_end(self, name: bytes, end: int) -> None:
        names = self._by_end.get(end)
        if names is None:
            names = self._by_end[end] = []
            heapq.heappush(self._ends, end)
        names.append(name)

    def _clear(self, now: int, most: int) -> None:
        """Drop at most `most` counters whose end has come."""
        while most > 0 and self._ends and self._ends[0] <= now:
            end = self._ends[0]
            names = self._by_end[end]
            while names and most > 0:
                most -= 1
                name = names.pop()
                if name in self._states and self._states[name][1] > now:  # its end moves with each of its hits
                    self._note_end(name, self._states[name][1])
                elif name in self._states:
                    del self._states[name]
                    self._bytes -= len(name) + COUNTER_BYTES
                elif self._counts.get(name, (0, 0))[1] == end:  # else it was counted anew after its end
                    del self._counts[name]
                    self._bytes -= len(name) + COUNTER_BYTES
            if not names:
                del self._by_end[heapq.heappop(self._ends)]
