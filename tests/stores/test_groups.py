import asyncio
from collections.abc import Sequence

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import Hit
from ratelimit.stores.groups import Answer, Result, charge_groups
from tests.limiter.plans import NOW, hit


class Counters:
    """A memcached of dictionaries, into which others count between the look and the charge."""

    def __init__(self, **counts: int) -> None:
        self.counts = {name.encode(): count for name, count in counts.items()}
        self.meanwhile: dict[bytes, int] = {}
        self.fails: dict[bytes, StoreError] = {}
        self.charges = 0
        self.in_time = True

    async def look(self, names: Sequence[bytes]) -> list[Answer]:
        """The counts now; then the others come."""
        found = [self.counts.get(name) for name in names]
        for name, amount in self.meanwhile.items():
            self.counts[name] = self.counts.get(name, 0) + amount
        return list(found)

    async def charge(self, asked: Sequence[tuple[Hit, int]]) -> list[Answer]:
        """Count as memcached does."""
        self.charges += 1
        return [self._count(hit.key.name, amount) for hit, amount in asked]

    def _count(self, name: bytes, amount: int) -> Answer:
        if (error := self.fails.get(name)) is not None:
            return error
        if name not in self.counts and amount <= 0:
            return None
        self.counts[name] = max(0, self.counts.get(name, 0) + amount)
        return self.counts[name]

    async def results(self, *hits: Hit) -> list[Result]:
        """What the hits come to."""
        return await charge_groups(hits, NOW, self.look, self.charge, lambda: self.in_time)


def short(results: Sequence[Result]) -> list[object]:
    """Count and allowed of each, or the reason."""
    return [each.reason if isinstance(each, StoreError) else (each.count, each.allowed) for each in results]


async def test_what_does_not_fit_is_not_charged() -> None:
    """One look is all that it costs."""
    counters = Counters(full=3, free=1)
    got = await counters.results(hit(b"free", group=1), hit(b"full", limit=3, group=1))
    assert short(got) == [(1, True), (3, False)]
    assert (counters.charges, counters.counts) == (0, {b"full": 3, b"free": 1})


async def test_a_group_that_went_over_meanwhile_is_taken_back() -> None:
    """Others took the last hit between look and charge: nothing stays charged, and the count is the others'."""
    counters = Counters(a=2, b=4)
    counters.meanwhile = {b"b": 1}
    got = await counters.results(hit(b"a", 2, group=1), hit(b"b", limit=5, group=1), hit(b"none", 0, group=1))
    assert short(got) == [(2, True), (5, False), (0, True)]
    assert counters.counts == {b"a": 2, b"b": 5}


async def test_the_refund_of_a_group_that_is_taken_back_is_charged_again() -> None:
    """By no more than was there; a refund that found nothing took nothing."""
    counters = Counters(some=1, b=4)
    counters.meanwhile = {b"b": 1}
    await counters.results(hit(b"some", -3, group=1), hit(b"none", -3, group=1), hit(b"b", limit=5, group=1))
    assert counters.counts == {b"some": 1, b"b": 5}


async def test_a_group_that_failed_in_part_is_taken_back() -> None:
    """A server that is lost after the look: the rest of the group is not charged, and all of it is an error."""
    counters = Counters(a=1)
    counters.fails = {b"lost": StoreError("lost the connection to the store", outcome_unknown=True)}
    got = await counters.results(hit(b"a", group=1), hit(b"lost", group=1), hit(b"other", group=2))
    assert short(got) == [*["lost the connection to the store"] * 2, (1, True)]
    assert [each.outcome_unknown for each in got if isinstance(each, StoreError)] == [True, True]
    assert counters.counts == {b"a": 1, b"other": 1}


async def test_what_cannot_be_taken_back_is_shown_as_it_is() -> None:
    """A server that is lost after the charge keeps it: fewer are admitted, never more."""
    counters = Counters(a=2, b=4)
    counters.meanwhile = {b"b": 1}
    charge = counters.charge

    async def lost(asked: Sequence[tuple[Hit, int]]) -> list[Answer]:
        if counters.charges:
            counters.fails = {b"a": StoreError("the store is away")}
        return await charge(asked)

    asked = [hit(b"a", 2, group=1), hit(b"b", limit=5, group=1)]
    got = await charge_groups(asked, NOW, counters.look, lost, lambda: True)
    assert short(got) == [(4, True), (5, False)]


async def test_the_groups_of_a_batch_see_each_other() -> None:
    """One look serves all; what the first takes the second does not have."""
    counters = Counters()
    got = await counters.results(*(hit(b"k", 2, limit=5, group=group) for group in (1, 2, 3)))
    assert short(got) == [(2, True), (4, True), (4, False)]


async def test_a_failed_look_charges_nothing() -> None:
    """Whatever else the group would charge; its outcome is known."""
    counters = Counters()
    look = counters.look

    async def failing(names: Sequence[bytes]) -> list[Answer]:
        return [StoreError("no answer", outcome_unknown=True), *(await look(names))[1:]]

    got = await charge_groups([hit(b"bad", group=1), hit(b"a", group=1)], NOW, failing, counters.charge, lambda: True)
    assert short(got) == ["no answer"] * 2
    assert not any(each.outcome_unknown for each in got if isinstance(each, StoreError))
    assert counters.counts == {}


async def test_racing_groups_never_admit_beyond_the_limit() -> None:
    """However looks and charges interleave, no more hits are admitted than the limit, and none denied stays charged."""
    counters = Counters()

    class Slow(Counters):
        async def charge(self, asked: Sequence[tuple[Hit, int]]) -> list[Answer]:
            await asyncio.sleep(0)
            return await counters.charge(asked)

        async def look(self, names: Sequence[bytes]) -> list[Answer]:
            return await counters.look(names)

    slow = Slow()
    got = await asyncio.gather(*(slow.results(hit(b"k", limit=7, group=1)) for _ in range(20)))
    admitted = sum(isinstance(each, Counted) and each.allowed for (each,) in got)
    assert 0 < admitted <= 7
    assert counters.counts == {b"k": admitted}


async def test_what_is_late_after_the_look_is_not_charged() -> None:
    """Nobody waits for it any more; those that do not fit are told so as ever."""
    counters = Counters(full=3)
    counters.in_time = False
    got = await counters.results(hit(b"free", group=1), hit(b"full", limit=3, group=2))
    assert short(got) == ["the store did not answer in time (REDIS_TIMEOUT)", (3, False)]
    assert not any(isinstance(each, StoreError) and each.outcome_unknown for each in got)
    assert (counters.charges, counters.counts) == (0, {b"full": 3})


async def test_of_some_groups_only_what_goes_over_is_charged() -> None:
    """If anything does, a look included; else all are. Each is seen by itself, and the groups after it see it."""
    counters = Counters(full=3)
    hits = [
        *(hit(b"free", 2, limit=9, group=-1), hit(b"full", 2, limit=3, group=-1)),
        *(hit(b"free", limit=9, group=-2), hit(b"full", 0, limit=3, group=-2)),
        *(hit(b"free", limit=9, group=-3), hit(b"other", limit=9, group=-3)),
    ]
    got = await counters.results(*hits)
    assert short(got) == [(0, True), (5, False), (0, True), (5, False), (1, True), (1, True)]
    assert counters.counts == {b"full": 5, b"free": 1, b"other": 1}


async def test_of_such_groups_nothing_is_taken_back() -> None:
    """Who went over meanwhile is charged, and so are the others; what failed fails alone."""
    counters = Counters()
    counters.meanwhile = {b"b": 5}
    counters.fails = {b"c": StoreError("away")}
    hits = [hit(name, limit=5, group=-1) for name in (b"a", b"b", b"c")]
    got = await counters.results(*hits)
    assert short(got) == [(1, True), (6, False), "away"]
    assert counters.charges == 1
