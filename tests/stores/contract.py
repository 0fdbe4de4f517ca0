"""What every counter store promises: one suite, run on each."""

import asyncio
from collections.abc import Awaitable, Callable

from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import COUNT_MAX, CounterStore, Hit


async def count(store: CounterStore, *hits: Hit) -> list[int]:
    """Count one batch. Raises StoreError."""
    ended: asyncio.Future[list[int] | StoreError] = asyncio.get_running_loop().create_future()
    store.count(hits, ended.set_result)
    result = await ended
    if isinstance(result, StoreError):
        raise result
    return result


class StoreContract:
    """Subclasses give the fixtures `store` and `ttl`, which reads the seconds a key has left, None without a key."""

    async def test_hits_add_up(self, store: CounterStore) -> None:
        """A count is what came before and the amount."""
        assert await count(store, Hit(b"k", 2, 60)) == [2]
        assert await count(store, Hit(b"k", 3, 60)) == [5]

    async def test_order_within_a_batch(self, store: CounterStore) -> None:
        """Counts come back in the order of the hits, the same key twice included."""
        hits = [Hit(b"a", 1, 60), Hit(b"b", 5, 60), Hit(b"a", 2, 60), Hit(b"a", 0, 60)]
        assert await count(store, *hits) == [1, 5, 3, 3]

    async def test_looking_creates_nothing(self, store: CounterStore, ttl: "Ttl") -> None:
        """An amount of 0 tells the count and leaves no key."""
        assert await count(store, Hit(b"k", 0, 60)) == [0]
        assert await ttl(b"k") is None

    async def test_refunds_stop_at_zero(self, store: CounterStore, ttl: "Ttl") -> None:
        """A refund takes back, never below 0, and creates nothing."""
        assert await count(store, Hit(b"k", 5, 60), Hit(b"k", -2, 60), Hit(b"k", -9, 60)) == [5, 3, 0]
        assert await count(store, Hit(b"none", -1, 60)) == [0]
        assert await ttl(b"none") is None

    async def test_every_counter_expires(self, store: CounterStore, ttl: "Ttl") -> None:
        """The expiry is set by the hit that creates the counter, and no later one changes or loses it."""
        await count(store, Hit(b"k", 1, 50))
        await count(store, Hit(b"k", 1, 500), Hit(b"k", -2, 500), Hit(b"k", 1, 500))
        left = await ttl(b"k")
        assert left is not None
        assert 0 < left <= 50

    async def test_counts_saturate(self, store: CounterStore) -> None:
        """A counter stops where doubles stop to be exact, and never wraps."""
        assert await count(store, Hit(b"k", COUNT_MAX - 1, 60)) == [COUNT_MAX - 1]
        assert await count(store, Hit(b"k", 5, 60), Hit(b"k", 5, 60), Hit(b"k", 0, 60)) == [COUNT_MAX] * 3

    async def test_any_bytes_are_a_key(self, store: CounterStore) -> None:
        """Keys are bytes; nothing in them has a meaning."""
        keys = [b"", b" ", b"\r\n", bytes(range(256)), b"*1\r\n$4\r\nPING\r\n"]
        assert await count(store, *(Hit(key, 1, 60) for key in keys)) == [1] * len(keys)

    async def test_a_large_batch(self, store: CounterStore) -> None:
        """Thousands of hits in one batch are counted."""
        hits = [Hit(b"k%d" % (n % 1000), 1, 60) for n in range(5000)]
        assert (await count(store, *hits))[-1] == 5

    async def test_concurrent_batches_lose_nothing(self, store: CounterStore) -> None:
        """A hundred at once see every count from 1 to 100 once."""
        counts = await asyncio.gather(*(count(store, Hit(b"k", 1, 60)) for _ in range(100)))
        assert sorted(counts) == [[n] for n in range(1, 101)]


Ttl = Callable[[bytes], Awaitable[float | None]]
