"""What every counter store promises: one suite, run on each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from ratelimit.clock import SteppedClock
from ratelimit.descriptors.limit import Unit
from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import GCRA, SLIDING_WINDOW, Counted
from ratelimit.limiter.counter_store import COUNT_MAX, Batch, CounterStore, Hit, Results
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from tests.limiter.plans import NOW, Asked, charge, hit, moment, plan
from tests.limiter.test_limiter import Caller, Told

DEADLINE_S = 5.0


async def results(store: CounterStore, hits: Sequence[Hit], now: int = NOW) -> Results:
    """The results of one batch."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Results] = loop.create_future()
    store.count(Batch(hits, now, loop.time() + DEADLINE_S), ended.set_result)
    return await ended


async def count(store: CounterStore, *hits: Hit, now: int = NOW) -> list[int]:
    """The count after each hit of a batch. Raises the first StoreError."""
    counts = []
    for result in await results(store, hits, now):
        if isinstance(result, StoreError):
            raise result
        counts.append(result.count)
    return counts


class FixedWindowContract:
    """What every store can do.

    Subclasses give the fixtures `store` and `ttl`, which reads the seconds a key has left, None without a key.
    """

    async def test_hits_add_up(self, store: CounterStore) -> None:
        """A count is what came before and the amount."""
        assert await count(store, hit(b"k", 2)) == [2]
        assert await count(store, hit(b"k", 3)) == [5]

    async def test_a_result_is_judged_by_the_limit_of_its_hit(self, store: CounterStore) -> None:
        """Count, whether it is within the limit, what remains, and when the window ends."""
        hits = [hit(b"k", 2, limit=3), hit(b"k", 2, limit=3), hit(b"k", 2, limit=9)]
        reset_s = 86_400 - NOW % 86_400
        assert await results(store, hits) == [
            Counted(2, allowed=True, remaining=1, reset_s=reset_s),
            Counted(4, allowed=False, remaining=0, reset_s=reset_s),
            Counted(6, allowed=True, remaining=3, reset_s=reset_s),
        ]

    async def test_order_within_a_batch(self, store: CounterStore) -> None:
        """Counts come back in the order of the hits, the same key twice included."""
        hits = [hit(b"a"), hit(b"b", 5), hit(b"a", 2), hit(b"a", 0)]
        assert await count(store, *hits) == [1, 5, 3, 3]

    async def test_looking_creates_nothing(self, store: CounterStore, ttl: "Ttl") -> None:
        """An amount of 0 tells the count and leaves no key."""
        assert await count(store, hit(b"k", 0)) == [0]
        assert await ttl(b"k") is None

    async def test_refunds_stop_at_zero(self, store: CounterStore, ttl: "Ttl") -> None:
        """A refund takes back, never below 0, and creates nothing."""
        assert await count(store, hit(b"k", 5), hit(b"k", -2), hit(b"k", -9)) == [5, 3, 0]
        assert await count(store, hit(b"none", -1)) == [0]
        assert await ttl(b"none") is None

    async def test_every_counter_expires(self, store: CounterStore, ttl: "Ttl") -> None:
        """The expiry is set by the hit that creates the counter, and no later one changes or loses it."""
        await count(store, hit(b"k", expire_s=50))
        await count(store, hit(b"k", expire_s=500), hit(b"k", -2, expire_s=500), hit(b"k", expire_s=500))
        await count(store, hit(b"k", expire_s=500, group=1))
        left = await ttl(b"k")
        assert left is not None
        assert 0 < left <= 50

    async def test_counts_saturate(self, store: CounterStore) -> None:
        """A counter stops where doubles stop to be exact, and never wraps."""
        assert await count(store, hit(b"k", COUNT_MAX - 1)) == [COUNT_MAX - 1]
        assert await count(store, hit(b"k", 5), hit(b"k", 5), hit(b"k", 0)) == [COUNT_MAX] * 3

    async def test_any_bytes_are_a_key(self, store: CounterStore) -> None:
        """Keys are bytes; nothing in them has a meaning."""
        names = [b"", b" ", b"\r\n", bytes(range(256)), b"*1\r\n$4\r\nPING\r\n"]
        assert await count(store, *(hit(name) for name in names)) == [1] * len(names)

    async def test_a_large_batch(self, store: CounterStore) -> None:
        """Thousands of hits in one batch are counted, in order."""
        hits = [hit(b"k%d" % (n % 1000)) for n in range(5000)]
        assert await count(store, *hits) == [n // 1000 + 1 for n in range(5000)]

    async def test_concurrent_batches_lose_nothing(self, store: CounterStore) -> None:
        """A hundred at once see every count from 1 to 100 once."""
        counts = await asyncio.gather(*(count(store, hit(b"k")) for _ in range(100)))
        assert sorted(counts) == [[n] for n in range(1, 101)]

    async def test_a_group_is_charged_whole(self, store: CounterStore, ttl: "Ttl") -> None:
        """Where every hit of it stays within its limit, all are counted."""
        hits = [hit(b"a", 2, limit=2, group=1), hit(b"b", limit=5, group=1), hit(b"a", 0, limit=2, group=1)]
        assert await count(store, *hits) == [2, 1, 2]
        assert await ttl(b"b") is not None

    async def test_a_group_is_charged_all_or_none(self, store: CounterStore) -> None:
        """One hit over its limit leaves every counter of its group as it was; other groups do not notice."""
        await count(store, hit(b"full", 3, limit=3))
        hits = [
            hit(b"free", limit=9, group=1),
            hit(b"full", limit=3, group=1),
            hit(b"other", limit=1, group=2),
            hit(b"single"),
        ]
        got = [each for each in await results(store, hits) if isinstance(each, Counted)]
        assert [(each.count, each.allowed) for each in got] == [(0, True), (3, False), (1, True), (1, True)]
        assert await count(store, *(hit(name, 0) for name in (b"free", b"full", b"other"))) == [0, 3, 1]

    async def test_what_does_not_stop_is_charged_with_the_others(self, store: CounterStore) -> None:
        """A limit that denies nothing goes over, and its group is charged whole."""
        assert await count(store, hit(b"k", group=1), hit(b"full", 4, limit=3, group=1, stops=False)) == [1, 4]

    async def test_a_key_twice_in_a_group_is_charged_twice_or_not(self, store: CounterStore) -> None:
        """The second hit is judged after the first."""
        twice = [hit(b"k", 2, limit=3, group=1), hit(b"k", 2, limit=3, group=1)]
        got = [each for each in await results(store, twice) if isinstance(each, Counted)]
        assert [(each.count, each.allowed) for each in got] == [(0, True), (0, False)]

    async def test_the_limiter_admits_exactly_its_limit(self, store: CounterStore) -> None:
        """A hundred requests of several ticks and plans get what one counter has."""
        loop, told = asyncio.get_running_loop(), Told()
        limiter = Limiter(store, SteppedClock(NOW), loop, OverLimitCache(0), LimiterOptions(DEADLINE_S))
        limiter.hand_back_to(told)
        callers = [Caller() for _ in range(100)]
        for number, caller in enumerate(callers):
            one, other = charge(60), charge(of=charge(60).limit, counter=b"other:")
            limiter.submit([caller], [Asked(plan(one, other) if number % 3 else plan(one))])
            if number % 10 == 9:
                await asyncio.sleep(0)
        while any(not caller.told for caller in callers):  # noqa: ASYNC110 - bounded by the deadline of the store
            await asyncio.sleep(0)
        assert sum(caller.told[0][0][0] for caller in callers) == 60


class StoreContract(FixedWindowContract):
    """What needs a look and a charge in one step besides: memory and scripts have it."""

    async def test_a_group_may_charge_only_what_goes_over(self, store: CounterStore) -> None:
        """Where one goes over, it alone is charged; where none does, all are."""
        hits = [hit(b"free", 2, limit=9, group=-1), hit(b"full", 2, limit=3, group=-1)]
        got = [await results(store, hits) for _ in range(3)]
        told = [[(each.count, each.allowed) for each in batch if isinstance(each, Counted)] for batch in got]
        assert told == [[(2, True), (2, True)], [(2, True), (4, False)], [(2, True), (6, False)]]

    async def test_a_key_twice_in_such_a_group_is_shown_as_it_stands(self, store: CounterStore) -> None:
        """What is charged of it counts for the hits after it, which are not charged."""
        await count(store, hit(b"k", 2))
        hits = [hit(b"k", amount, limit=5, group=-1) for amount in (1, 4, 2)]
        told = [(each.count, each.allowed) for each in await results(store, hits) if isinstance(each, Counted)]
        assert told == [(2, True), (6, False), (6, False)]
        assert await count(store, hit(b"k", 0)) == [6]

    async def test_a_look_that_is_over_stops_its_group_too(self, store: CounterStore) -> None:
        """Where only what goes over is charged; in a group of all or none a look asks for nothing."""
        await count(store, hit(b"full", 4, limit=3))
        assert await count(store, hit(b"k", group=-1), hit(b"full", 0, limit=3, group=-1)) == [0, 4]
        assert await count(store, hit(b"k", group=1), hit(b"full", 0, limit=3, group=1)) == [1, 4]

    async def test_counters_of_every_algorithm_expire(self, store: CounterStore, ttl: "Ttl") -> None:
        """When nothing of them is in use any more, and not much later; each hit moves the end."""
        for algorithm, most_s in ((SLIDING_WINDOW, 2 * 86_400), (GCRA, 8_640)):
            name = b"k" + algorithm.tag.encode()
            hits = [moment(algorithm, NOW * 1000 + each, limit=10, unit=Unit.DAY, name=name) for each in (0, 1)]
            left = []
            for each in hits:
                assert isinstance((await results(store, [each]))[0], Counted)
                left.append(await ttl(name) or 0)
            assert 0 < left[0] <= most_s + 2
            assert left[1] >= left[0] - 1
            assert left[1] > left[0] + 8_000 or algorithm is SLIDING_WINDOW
            assert await ttl(b"none") is None

    async def test_a_batch_may_hold_every_algorithm(self, store: CounterStore) -> None:
        """Each hit is counted by its own, in their order."""
        at_ms = NOW * 1000
        hits = [
            hit(b"f"),
            moment(GCRA, at_ms, 10, name=b"g"),
            moment(GCRA, at_ms, name=b"g"),
            hit(b"f", group=1),
            moment(SLIDING_WINDOW, at_ms, 4, name=b"s"),
            hit(b"f"),
        ]
        got = [each for each in await results(store, hits) if isinstance(each, Counted)]
        assert [(each.count, each.allowed) for each in got] == [
            (1, True),
            (10, True),
            (10, False),
            (2, True),
            (4, True),
            (3, True),
        ]


class FixedPoisonContract:
    """For stores in which a key may be of a type that cannot be counted; the fixture `poison` makes it so."""

    async def test_a_poisoned_key_fails_alone(self, store: CounterStore, poison: "Poison") -> None:
        """Its hits have an error of their own, a group with it is not charged, and everything else is counted."""
        await poison(b"bad")
        got = await results(
            store,
            [
                hit(b"a"),
                hit(b"bad"),
                hit(b"bad", 0),
                hit(b"bad", -1),
                hit(b"b"),
                hit(b"c", group=1),
                hit(b"bad", group=1),
            ],
        )
        failed = [isinstance(each, StoreError) and not each.outcome_unknown for each in got]
        assert failed == [False, True, True, True, False, True, True]
        assert await count(store, hit(b"a", 0), hit(b"b", 0), hit(b"c", 0)) == [1, 1, 0]


class PoisonContract(FixedPoisonContract):
    """For those that have other algorithms too."""

    async def test_the_counter_of_another_algorithm_is_poison(self, store: CounterStore, poison: "Poison") -> None:
        """It is no number of hits, nor a state that the algorithm knows."""
        await poison(b"bad")
        got = await results(
            store,
            [
                hit(b"a"),
                moment(GCRA, NOW * 1000, name=b"bad"),
                moment(SLIDING_WINDOW, NOW * 1000, name=b"bad"),
                moment(GCRA, NOW * 1000, name=b"a"),
                moment(SLIDING_WINDOW, NOW * 1000, name=b"a"),
                moment(GCRA, NOW * 1000, name=b"g"),
            ],
        )
        failed = [isinstance(each, StoreError) and not each.outcome_unknown for each in got]
        assert failed == [False, True, True, True, True, False]
        assert await count(store, hit(b"a", 0)) == [1]


Ttl = Callable[[bytes], Awaitable[float | None]]
Poison = Callable[[bytes], Awaitable[None]]
