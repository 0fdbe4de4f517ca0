"""Keys known to be over their limit until their window ends: they need no store.

An entry is a counter key with its window and the limit it went over, so a limit raised by a reload, or a smaller
override of the same counter, never blocks another. Bounded in bytes: ENTRY_BYTES and the key for each entry.
"""

ENTRY_BYTES = 24


class OverLimitCache:
    """An LRU of over-limit keys of at most `bytes_max` bytes; 0 keeps nothing. `hits` and `misses` count look-ups."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._ends: dict[tuple[bytes, int], int] = {}
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    @property
    def enabled(self) -> bool:
        """Whether it can hold anything."""
        return self._bytes_max > 0

    def __len__(self) -> int:
        return len(self._ends)

    def is_over(self, key: bytes, requests_per_unit: int, now: int) -> bool:
        """Whether `key` is known to be over `requests_per_unit` at the second `now`."""
        entry = (key, requests_per_unit)
        end = self._ends.get(entry)
        if end is None or end <= now:
            if end is not None:
                self._drop(entry)
            self.misses += 1
            return False
        self._ends[entry] = self._ends.pop(entry)
        self.hits += 1
        return True

    def add(self, key: bytes, requests_per_unit: int, end: int) -> None:
        """Remember until the second `end`; the least recently used entries make room."""
        entry = (key, requests_per_unit)
        size = len(key) + ENTRY_BYTES
        if size > self._bytes_max or entry in self._ends:
            return
        while self._bytes + size > self._bytes_max:
            self._drop(next(iter(self._ends)))
            self.evictions += 1
        self._ends[entry] = end
        self._bytes += size

    def forget(self, key: bytes) -> None:
        """Drop every entry of `key`: a refund may have brought it below its limit."""
        for entry in [entry for entry in self._ends if entry[0] == key]:
            self._drop(entry)

    def _drop(self, entry: tuple[bytes, int]) -> None:
        del self._ends[entry]
        self._bytes -= len(entry[0]) + ENTRY_BYTES
