"""The keys that come most often, in a bounded number of counters (Metwally, Agrawal, El Abbadi: Space-Saving, 2005).

A key that has no counter takes over the least one and its count, which is how much its own may be too high. So no count
is ever too low, none is too high by more than the least, and a key that comes more often than that is never missed.
Counts fade (`fade`), so that what was is forgotten; fading keeps their order.

The least is found by a heap with one entry for each counter, put right only when it comes up: counts only grow between
two fadings, so an entry that says too little is never hidden behind one that says more.
"""

import heapq

# Below that a count that faded says nothing any more.
GONE = 0.01


class SpaceSaving:
    """At most `size` counters."""

    __slots__ = ("_counts", "_errors", "_heap", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._counts: dict[bytes, float] = {}
        self._errors: dict[bytes, float] = {}
        self._heap: list[tuple[float, bytes]] = []

    def add(self, key: bytes, amount: float) -> None:
        """Count `amount` of `key`."""
        counts, heap = self._counts, self._heap
        count = counts.get(key)
        if count is not None:
            counts[key] = count + amount
        elif len(counts) < self._size:
            counts[key], self._errors[key] = amount, 0.0
            heapq.heappush(heap, (amount, key))
        else:
            least, oldest = heap[0]
            while counts[oldest] != least:
                heapq.heapreplace(heap, (counts[oldest], oldest))
                least, oldest = heap[0]
            del counts[oldest], self._errors[oldest]
            counts[key], self._errors[key] = least + amount, least
            heapq.heapreplace(heap, (least + amount, key))

    def fade(self, factor: float) -> None:
        """Let every count be `factor` (0 to 1) of what it was."""
        counts = {key: count * factor for key, count in self._counts.items() if count * factor > GONE}
        self._errors = {key: self._errors[key] * factor for key in counts}
        self._counts = counts
        self._heap = [(count, key) for key, count in counts.items()]
        heapq.heapify(self._heap)

    def most(self, number: int) -> list[tuple[bytes, float, float]]:
        """Key, count and by how much that may be too high, of so many keys, the largest count first."""
        found = heapq.nlargest(number, self._counts.items(), key=lambda item: item[1])
        return [(key, count, self._errors[key]) for key, count in found]
