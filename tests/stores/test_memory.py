import pytest

from ratelimit.clock import SteppedClock
from ratelimit.limiter.counter_store import Hit
from ratelimit.stores.memory import SWEEP_EVERY, MemoryStore
from tests.stores.contract import StoreContract, Ttl, count


class TestMemoryStore(StoreContract):
    """The model passes its own contract."""

    @pytest.fixture
    def clock(self) -> SteppedClock:
        return SteppedClock()

    @pytest.fixture
    def store(self, clock: SteppedClock) -> MemoryStore:
        return MemoryStore(clock)

    @pytest.fixture
    def ttl(self, store: MemoryStore, clock: SteppedClock) -> Ttl:
        async def left(key: bytes) -> float | None:
            expires_at = store.expires_at(key)
            return None if expires_at is None else expires_at - clock.now()

        return left

    async def test_an_expired_counter_begins_anew(self, store: MemoryStore, clock: SteppedClock) -> None:
        """After its expiry a key counts from 0."""
        await count(store, Hit(b"k", 5, 10))
        clock.advance(10)
        assert await count(store, Hit(b"k", 0, 10)) == [0]
        assert await count(store, Hit(b"k", 1, 10)) == [1]

    async def test_expired_counters_are_swept(self, store: MemoryStore, clock: SteppedClock) -> None:
        """Unique keys cannot grow memory for ever."""
        await count(store, *(Hit(b"old%d" % n, 1, 1) for n in range(SWEEP_EVERY - 1)))
        clock.advance(5)
        await count(store, Hit(b"new1", 1, 1), Hit(b"new2", 1, 1))
        assert len(store) <= 2
