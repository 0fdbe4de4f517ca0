from collections.abc import Callable

import pytest

from ratelimit.descriptors.limit import Unit
from ratelimit.limiter.counter_store import Batch, Hit, Results
from ratelimit.stores.memory import MemoryStore
from ratelimit.stores.per_second import BothReady, PerSecondStore
from tests.limiter.plans import NOW, hit, key
from tests.stores.contract import StoreContract, Ttl, count


def short(name: bytes, group: int = 0) -> Hit:
    """A hit of a limit per second."""
    return Hit(key(name, unit=Unit.SECOND), 1, 10, group)


class Recorder:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.batches: list[tuple[Batch, Callable[[Results], None]]] = []

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        """Keep it."""
        self.batches.append((batch, done))


class TestPerSecondStore(StoreContract):
    """The contract on two stores in memory."""

    @pytest.fixture
    def store(self) -> PerSecondStore:
        self.main = MemoryStore()
        return PerSecondStore(self.main, MemoryStore(), (1.0, 1.0))

    @pytest.fixture
    def ttl(self, store: PerSecondStore) -> Ttl:
        async def left(name: bytes) -> float | None:
            expires_at = self.main.expires_at(name, NOW)
            return None if expires_at is None else expires_at - NOW

        return left


async def test_each_hit_is_counted_in_its_store() -> None:
    """Results come back in the order of the hits, whatever their stores."""
    main, seconds = MemoryStore(), MemoryStore()
    store = PerSecondStore(main, seconds, (1.0, 1.0))
    assert await count(store, hit(b"m"), short(b"s"), hit(b"m"), short(b"s"), short(b"s")) == [1, 1, 2, 2, 3]
    assert await count(store, short(b"s")) == [4]
    assert await count(main, hit(b"m", 0), hit(b"s", 0)) == [2, 0]
    assert await count(seconds, hit(b"m", 0), hit(b"s", 0)) == [0, 4]


async def test_groups_stay_whole_in_the_main_store() -> None:
    """Two stores cannot charge all or none together."""
    main, seconds = MemoryStore(), MemoryStore()
    store = PerSecondStore(main, seconds, (1.0, 1.0))
    assert await count(store, short(b"s", group=1), hit(b"m", group=1), short(b"s")) == [1, 1, 1]
    assert await count(main, hit(b"m", 0), hit(b"s", 0)) == [1, 1]


def test_each_store_has_its_own_time() -> None:
    """A batch ends with the longer one's deadline; the results wait for both."""
    main, seconds, told = Recorder(), Recorder(), list[Results]()
    store = PerSecondStore(main, seconds, (3.0, 1.0))
    store.count(Batch([hit(b"m"), short(b"s")], NOW, 10.0), told.append)
    ((for_main, main_done),), ((for_seconds, seconds_done),) = main.batches, seconds.batches
    assert (for_main.deadline, for_seconds.deadline) == (10.0, 8.0)
    seconds_done([])
    assert told == []
    store.count(Batch([hit(b"m")], NOW, 10.0), told.append)
    store.count(Batch([short(b"s")], NOW, 10.0), told.append)
    assert (main.batches[1][0].deadline, seconds.batches[1][0].deadline) == (10.0, 8.0)
    assert callable(main_done)


def test_ready_is_both() -> None:
    """Each change of the whole is told once."""
    told: list[bool] = []
    both = BothReady(told.append)
    for which, ready in ((0, True), (1, True), (1, True), (0, False), (1, False), (0, True), (1, True)):
        both.changed(which, ready)
    assert told == [True, False, True]
