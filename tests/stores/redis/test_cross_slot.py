import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import Batch, Hit, Results
from ratelimit.limiter.tick import OwnHit
from ratelimit.stores.memory import MemoryStore
from ratelimit.stores.redis.cross_slot import charge_crossing, stages_of
from tests.limiter.plans import NOW, charge, hit

A, B, SAME_AS_A = b"{a}1", b"{b}1", b"{a}2"
HITS = st.tuples(st.sampled_from([A, B, SAME_AS_A]), st.integers(-2, 4), st.integers(0, 6))
GROUPS = st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.lists(HITS, min_size=1, max_size=3)), max_size=8)


def batch_of(drawn: Sequence[tuple[int, Sequence[tuple[bytes, int, int]]]]) -> list[Hit]:
    """Hits, some of them in groups."""
    return [
        hit(name, amount, limit=limit, group=number * sign, stops=limit != 5)
        for number, (sign, hits) in enumerate(drawn, 1)
        for name, amount, limit in hits
    ]


def counted(store: MemoryStore, hits: Sequence[Hit]) -> Results:
    """The results of a batch in memory, which answers at once."""
    told: list[Results] = []
    store.count(Batch(hits, NOW, 0), told.append)
    return told[0]


def test_only_groups_that_cross_slots_want_stages() -> None:
    """Other batches are counted as they are."""
    assert stages_of([hit(A), hit(B)]) is None
    assert stages_of([hit(A, group=1), hit(SAME_AS_A, group=1), hit(B)]) is None
    assert stages_of([hit(A, group=-1), hit(B, group=-1)]) == [(True, [0, 1])]


def test_stages_keep_the_order_of_each_key() -> None:
    """What another kind of unit touched before comes in a later stage; everything else goes together."""
    hits = [hit(A), hit(A, group=1), hit(B, group=1), hit(B), hit(b"c"), hit(A, group=2), hit(B, group=2), hit(A)]
    assert stages_of(hits) == [(False, [0, 4]), (True, [1, 2]), (False, [3]), (True, [5, 6]), (False, [7])]


@given(GROUPS)
def test_stages_give_the_results_of_the_batch(drawn: list[tuple[int, list[tuple[bytes, int, int]]]]) -> None:
    """While nobody else comes between, groups that cross slots come to what a script would have told."""
    hits = batch_of(drawn)
    stages = stages_of(hits)
    if stages is None:
        return
    assert sorted(place for _, places in stages for place in places) == list(range(len(hits)))
    model, store = MemoryStore(), MemoryStore()
    expected = counted(model, hits)

    async def count(asked: Sequence[Hit]) -> Results:
        assert all(each.group == 0 or not crosses for each in asked)
        return counted(store, asked)

    got: list[object] = [None] * len(hits)
    for crosses, places in stages:
        mine = [hits[place] for place in places]
        results = asyncio.run(charge_crossing(mine, NOW, count, lambda: True)) if crosses else counted(store, mine)
        for place, result in zip(places, results, strict=True):
            got[place] = result
    assert got == list(expected)
    looks = [hit(name, 0) for name in (A, B, SAME_AS_A)]
    assert counted(store, looks) == counted(model, looks)


async def test_the_limiter_s_own_hits_are_charged() -> None:
    """They are of a kind that is made from a charge; what is counted are plain ones."""
    store = MemoryStore()

    async def count(hits: Sequence[Hit]) -> Results:
        assert {type(each) for each in hits} == {Hit}
        return counted(store, hits)

    hits = [OwnHit(charge(counter=counter), 1, NOW * 1000) for counter in (b"a:", b"b:")]
    results = await charge_crossing(hits, NOW, count, lambda: True)
    assert [each.count for each in results if isinstance(each, Counted)] == [1, 1]


async def test_a_counter_that_cannot_be_looked_at_stops_its_group() -> None:
    """Nothing of it is charged then."""
    asked: list[Hit] = []

    async def count(hits: Sequence[Hit]) -> Results:
        asked.extend(hits)
        return [StoreError("away") for _ in hits]

    results = await charge_crossing([hit(A, group=-1), hit(B, group=-1)], NOW, count, lambda: True)
    assert [str(each) for each in results] == ["away", "away"]
    assert [each.amount for each in asked] == [0, 0]
