"""The port to the counters.

The limiter owns this file; the stores floor implements it (memory, Redis and Valkey). One contract suite,
tests/stores/contract.py, runs on every store.

Counting rules, the same everywhere:

- A hit of `amount` > 0 adds it; 0 looks and creates nothing; < 0 takes it back, never below 0, and creates nothing.
- A counter saturates at COUNT_MAX: Lua numbers are doubles, exact below 2**53.
- `expire_s` is set once, by the hit that creates the counter; no counter is ever without an expiry.
- The hits of a batch are counted in their order, the same key twice included.
- Nothing that may have been counted is sent again: its outcome is unknown, and that is an error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ratelimit.errors import StoreError

COUNT_MAX = 2**53 - 1
AMOUNT_MAX = 2**32 - 1


@dataclass(slots=True)
class Hit:
    """One change of one counter. `key` includes the window; `expire_s` is in seconds, at least 1."""

    key: bytes
    amount: int
    expire_s: int


Counted = Callable[[list[int] | StoreError], None]
"""Called once for a batch: the count after each hit, in the order of the hits, or why there are none."""


class CounterStore(Protocol):
    """Counters that expire.

    `count` never raises and never blocks: it calls `done` exactly once, before it returns (memory) or from the event
    loop later, at the latest after the store's deadline. `hits` is not empty and is the store's to keep.
    """

    def count(self, hits: Sequence[Hit], done: Counted) -> None: ...
