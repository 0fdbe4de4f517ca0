import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.descriptors.limit import Unit
from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import GCRA, SLIDING_WINDOW
from ratelimit.limiter.counter_store import Batch, Hit, Results
from ratelimit.stores.memory import CLEARED_PER_HIT, COUNTER_BYTES, MemoryStore
from tests.limiter.plans import NOW, hit, key, moment
from tests.stores.contract import StoreContract, Ttl


class TestMemoryStore(StoreContract):
    """The model passes its own contract."""

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def ttl(self, store: MemoryStore) -> Ttl:
        async def left(name: bytes) -> float | None:
            expires_at = store.expires_at(name, NOW)
            return None if expires_at is None else expires_at - NOW

        return left


def counted(store: MemoryStore, *hits: Hit, now: int = NOW) -> Results:
    """The results of one batch, which this store has at once."""
    results: list[Results] = []
    store.count(Batch(hits, now, 0), results.append)
    return results[0]


def second(name: bytes, now: int) -> Hit:
    """A hit on a counter of the second `now`, with an expiry far behind its window."""
    return Hit(key(name, expire_s=300, unit=Unit.SECOND, now=now), 1, 10)


def test_a_counter_goes_with_its_window() -> None:
    """Memory needs no jitter: what is over is over, and a key that comes again counts from 0."""
    store = MemoryStore()
    counted(store, second(b"k", NOW))
    assert store.expires_at(b"k", NOW) == NOW + 1
    again = Hit(key(b"k", unit=Unit.SECOND, now=NOW + 1), 1, 10)
    assert [each.count for each in counted(store, again, now=NOW + 1) if not isinstance(each, StoreError)] == [1]


def test_expired_counters_go_a_few_at_a_time() -> None:
    """Every hit clears a few, so unique keys neither pile up nor stop anybody."""
    store = MemoryStore()
    for number in range(1000):
        counted(store, second(b"%d" % number, NOW))
    counted(store, second(b"new", NOW + 5), now=NOW + 5)
    assert len(store) == 1001 - CLEARED_PER_HIT
    for number in range(1000):
        counted(store, second(b"%d" % number, NOW + 6), now=NOW + 6)
    assert len(store) <= 1001
    counted(store, *(hit(b"k", 0) for _ in range(1000)), now=NOW + 9)
    assert len(store) == 0


def test_a_full_store_refuses_the_new_and_keeps_the_old() -> None:
    """Live counters are never forgotten; a new one fails alone, and has room when others have ended."""
    store = MemoryStore(3 * (COUNTER_BYTES + 1))
    results = counted(store, *(second(name, NOW) for name in (b"a", b"b", b"c", b"d", b"a")))
    assert [isinstance(each, StoreError) for each in results] == [False, False, False, True, False]
    assert (len(store), store.refused) == (3, 1)
    assert not isinstance(counted(store, second(b"d", NOW + 1), now=NOW + 1)[0], StoreError)


def test_a_counter_whose_end_moves_is_kept_until_it_comes() -> None:
    """Each hit on it may put off its end; it is listed once, and goes after the last."""
    store = MemoryStore(COUNTER_BYTES + 1)
    for later in range(3):
        at_ms = (NOW + later) * 1000
        counted(store, moment(GCRA, at_ms, 10, unit=Unit.SECOND), now=NOW + later)
        assert sum(map(len, store._by_end.values())) == 1
    assert store.expires_at(b"k", NOW + 2) == NOW + 4
    full = moment(SLIDING_WINDOW, (NOW + 2) * 1000, name=b"o")
    assert isinstance(counted(store, full, now=NOW + 2)[0], StoreError)
    assert (len(store), store.refused) == (1, 1)
    counted(store, hit(b"x", 0), now=NOW + 4)
    assert (len(store), store._bytes) == (0, 0)
    assert not isinstance(counted(store, full, now=NOW + 4)[0], StoreError)


HITS = st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.integers(-2, 3), st.sampled_from(Unit))


@given(st.lists(st.tuples(HITS, st.integers(0, 70)), max_size=40))
def test_what_it_holds_is_what_it_says(moves: list[tuple[tuple[bytes, int, Unit], int]]) -> None:
    """Whatever comes, at whatever time: its size is that of its counters, and each can be cleared."""
    store, now = MemoryStore(), NOW
    for (name, amount, unit), later in moves:
        now += later
        counted(store, Hit(key(name, unit=unit, now=now), amount, 10), now=now)
        assert store._bytes == len(store) * (COUNTER_BYTES + 1)
        listed = [each for names in store._by_end.values() for each in names]
        assert set(store._counts) <= set(listed)
