"""Counters known to be over a limit until their window ends: they need no store.

An entry is the name of a counter in its window and the count it is known to have reached. A count only grows until the
window ends (a refund makes the entry forgotten), so a key is over every limit below that count and nothing is said of
a larger one: a limit raised by a reload, or a smaller override of the same counter, never blocks another.
"""

from collections import OrderedDict

# What an entry takes beside the bytes of its name: their object, the pair and its integers, the ordered dict.
ENTRY_BYTES = 250


class OverLimitCache:
    """An LRU of at most `bytes_max` bytes, counting for each key its length and ENTRY_BYTES; 0 keeps nothing.

    `hits` and `misses` count look-ups; `overwrites`, `evictions` and `expired` what became of entries.
    """

    def __init__(self, bytes_max: int) -> None:
        self.enabled = bytes_max > 0
        self._bytes_max = bytes_max
        self._bytes = 0
        self._known: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self.expired = 0
        self.overwrites = 0

    @property
    def lookups(self) -> int:
        """All look-ups."""
        return self.hits + self.misses

    def __len__(self) -> int:
        return len(self._known)

    def is_over(self, name: bytes, limit: int, now: int) -> bool:
        """Whether the counter is known to be over `limit` at the second `now`."""
        known = self._known.get(name)
        if known is None:
            self.misses += 1
            return False
        count, end = known
        if end <= now:
            self.expired += 1
            self.forget(name)
        elif count > limit:
            self._known.move_to_end(name)
            self.hits += 1
            return True
        self.misses += 1
        return False

    def add(self, name: bytes, count: int, end: int) -> None:
        """Remember a count until the second `end`; the least recently used entries make room, one by one."""
        known = self._known.get(name)
        if known is not None:
            self.overwrites += 1
            self._known[name] = (max(count, known[0]), end)
            return
        size = len(name) + ENTRY_BYTES
        if size > self._bytes_max:
            return
        self._bytes += size
        self._known[name] = (count, end)
        while self._bytes > self._bytes_max:
            oldest, _ = self._known.popitem(last=False)
            self._bytes -= len(oldest) + ENTRY_BYTES
            self.evictions += 1

    def forget(self, name: bytes) -> None:
        """Drop what is known of a counter: a refund may have brought it below its limit."""
        if self._known.pop(name, None) is not None:
            self._bytes -= len(name) + ENTRY_BYTES
