"""The port to the counters.

The limiter owns this file; the stores floor implements it (memory, Redis and Valkey). One contract suite,
tests/stores/contract.py, runs on every store, and a property test shows that all of them give the same results.

Counting rules, the same everywhere:

- A hit of `amount` > 0 adds it; 0 looks and creates nothing; < 0 takes it back, never below 0, and creates nothing.
- Of algorithms other than the fixed window a hit that does not fit is not charged, and its count is what is in use.
- A counter saturates at COUNT_MAX: Lua numbers are doubles, exact below 2**53.
- A counter of a fixed window expires `expire_s` after the hit that created it, another when nothing of it is in use;
  no counter is ever without an expiry.
- The hits of a batch are counted in their order, the same key twice included.
- Hits with the same `group` > 0 are charged all or none: none of them if one that `stops` would go over its limit.
- Of hits with the same `group` < 0 only those are charged that go over, if there are any, each seen by itself; looks
  count as well here. The others are shown the count at their place. This is what
  STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT means.
- Each hit has a result of its own: a key that cannot be counted fails alone.
- Nothing that may have been counted is sent again: its outcome is unknown, and that is an error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_key import CounterKey

COUNT_MAX = 2**53 - 1
AMOUNT_MAX = 2**32 - 1
UNGROUPED = 0


@dataclass(slots=True, eq=False)
class Hit:
    """One change of one counter, by `amount` hits; `limit` is the requests_per_unit it is judged by.

    Hits of a batch that have the same `group`, another than UNGROUPED, stand side by side and are charged together.
    `at_ms` is the moment in unix milliseconds; it is read for algorithms other than the fixed window only.
    `stops`: going over keeps the others of its group from being charged; it is read of grouped hits only.
    """

    key: CounterKey
    amount: int
    limit: int
    group: int = UNGROUPED
    stops: bool = True
    at_ms: int = 0


@dataclass(slots=True, eq=False)
class Batch:
    """The hits of one moment: not empty, and the store's to keep.

    `now` is the moment in unix seconds. `deadline`, in the event loop's time, is when the results must be there:
    it includes every wait inside the store and every second try.
    """

    hits: Sequence[Hit]
    now: int
    deadline: float


Results = Sequence[Counted | StoreError]
"""One per hit, in their order."""


class CounterStore(Protocol):
    """Counters that expire.

    `count` never raises and never blocks: it calls `done` exactly once, before it returns (memory) or from the event
    loop later, at the latest when the batch's deadline passed.
    """

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None: ...
