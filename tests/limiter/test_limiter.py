import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ratelimit.clock import SteppedClock
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import Plan, Verdict
from ratelimit.limiter.tick import Tick, judged
from ratelimit.stores.memory import MemoryStore
from tests.limiter.plans import NOW, Asked, charge, key, plan


class Loop:
    """A loop that runs when told to, and whose time stands still."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waiting: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()


class Recorder(MemoryStore):
    """A memory store that remembers its batches, and misbehaves when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Batch] = []
        self.failing: dict[bytes, StoreError] = {}
        self.raising: Exception | None = None
        self.held: list[Callable[[], None]] | None = None

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        self.batches.append(batch)
        if self.raising is not None:
            raise self.raising

        def finish(results: Results) -> None:
            pairs = zip(batch.hits, results, strict=True)
            changed = [self.failing.get(hit.key.name.split(b":")[0], result) for hit, result in pairs]
            if self.held is None:
                done(changed)
            else:
                self.held.append(lambda: done(changed))

        super().count(batch, finish)

    @property
    def amounts(self) -> list[list[tuple[bytes, int]]]:
        """The counter and the amount of each hit, batch by batch."""
        return [[(hit.key.name.split(b":")[0], hit.amount) for hit in batch.hits] for batch in self.batches]


class Caller:
    """Who asked, and what it was told: (allowed, remaining) per charge, or why not."""

    def __init__(self, deadline: float = math.inf) -> None:
        self.deadline = deadline
        self.waiting = True
        self.told: list[Any] = []


class Told:
    """Answers that write down what each caller is told."""

    def __init__(self) -> None:
        self.mixed: list[bool] = []
        self.raising: Exception | None = None

    def decided(self, tick: Tick) -> None:
        if self.raising is not None:
            raise self.raising
        self.mixed.append(tick.mixed)
        for caller, asked, count, share in zip(tick.callers, tick.plans, tick.counts, tick.shares, strict=True):
            counts, shares = ([count], [share]) if asked.single is not None else (count, share)
            try:
                results = judged(asked.charges, shares, counts, tick.now)
                caller.told.append([(result.allowed, result.remaining) for result in results])
            except StoreError as error:
                caller.told.append(str(error))

    def known(self, tick: Tick) -> None:
        tick.counts = tick.shares = [None if asked.single else [None] * len(asked.charges) for asked in tick.plans]
        self.decided(tick)

    def expired(self, callers: Sequence[Any], started: float) -> None:
        for caller in callers:
            caller.told.append("expired")

    def refused(self, tick: Tick, error: StoreError) -> None:
        for caller, _ in zip(tick.callers, tick.plans, strict=True):
            caller.told.append(str(error))

    def broken(self, callers: Sequence[Any], error: Exception, started: float) -> None:
        for caller in callers:
            caller.told.append(f"broken: {error}")


class Bench:
    """A limiter with everything it needs."""

    def __init__(self, *, cache_bytes: int = 0, pending_hits_max: int = 100) -> None:
        self.store, self.clock, self.loop, self.told = Recorder(), SteppedClock(NOW), Loop(), Told()
        options = LimiterOptions(0.5, expiration_jitter_max_s=0, pending_hits_max=pending_hits_max)
        self.limiter = Limiter(self.store, self.clock, self.loop, OverLimitCache(cache_bytes), options)
        self.limiter.hand_back_to(self.told)

    def submit(self, *plans: Plan, deadline: float = math.inf) -> list[Caller]:
        """Submit plans, one read each."""
        callers = [Caller(deadline) for _ in plans]
        for caller, one in zip(callers, plans, strict=True):
            self.limiter.submit([caller], [Asked(one)])
        return callers

    def ask(self, *plans: Plan) -> list[Any]:
        """What the callers of plans submitted in one tick are told."""
        callers = self.submit(*plans)
        self.loop.run()
        assert [len(caller.told) for caller in callers] == [1] * len(callers)
        return [caller.told[0] for caller in callers]


def test_one_tick_is_one_batch_and_equal_keys_one_hit() -> None:
    """Eleven requests of one counter are one hit of eleven, and ten are admitted in order of arrival."""
    bench, one = Bench(), charge(10)
    assert bench.ask(*[plan(one)] * 11) == [[(True, 10 - n)] for n in range(1, 11)] + [[(False, 0)]]
    assert bench.store.amounts == [[(b"c", 11)]]
    assert (bench.store.batches[0].deadline, bench.store.batches[0].now) == (100.5, NOW)
    assert bench.limiter.pending == 0


def test_several_charges_share_their_hits_too() -> None:
    """A plan that comes again in the tick is counted with the first, each key by the sum."""
    bench, several = Bench(), Asked(plan(charge(3), charge(9, counter=b"e:", amount=2)))
    callers = [Caller() for _ in range(3)]
    bench.limiter.submit(callers, [several] * 3)
    bench.loop.run()
    assert [caller.told for caller in callers] == [[[(True, 3 - n), (True, 9 - 2 * n)]] for n in (1, 2, 3)]
    assert bench.store.amounts == [[(b"c", 3), (b"e", 6)]]


def test_counts_follow_the_order_of_arrival_across_plans() -> None:
    """Requests of different limits and amounts on one counter see the counts they would see one by one."""
    bench = Bench()
    asked = [plan(charge(10)), plan(charge(4, amount=3)), plan(charge(10))]
    assert bench.ask(*asked) == [[(True, 9)], [(True, 0)], [(True, 5)]]
    assert (bench.store.amounts, bench.told.mixed) == ([[(b"c", 5)]], [True])


def test_what_needs_no_count_does_not_reach_the_store() -> None:
    """A request without limits is answered in its tick, also when the store is silent."""
    bench = Bench()
    bench.store.held = []
    nothing, waits = bench.submit(plan(Verdict.NO_LIMIT), plan(charge()))
    bench.loop.run()
    assert (nothing.told, waits.told) == ([[]], [])
    bench.store.held[0]()
    assert waits.told == [[(True, 9)]]


def test_the_next_window_counts_anew() -> None:
    """The window is part of the key."""
    bench, one = Bench(), charge(1)
    assert bench.ask(plan(one), plan(one)) == [[(True, 0)], [(False, 0)]]
    bench.clock.advance(60)
    assert bench.ask(plan(one)) == [[(True, 0)]]


def test_a_look_and_a_refund_keep_their_place() -> None:
    """They are hits of their own, and what comes after them is counted after them."""
    bench = Bench()
    asked = [plan(charge(amount=5)), plan(charge(amount=0)), plan(charge(amount=-2)), plan(charge()), plan(charge())]
    remaining = [5, 5, 7, 6, 5]
    assert bench.ask(*asked) == [[(True, left)] for left in remaining]
    assert bench.store.amounts == [[(b"c", 5), (b"c", 0), (b"c", -2), (b"c", 2)]]


def test_a_key_that_cannot_be_counted_fails_alone() -> None:
    """Its requests get its error, every other one of the tick its answer."""
    bench = Bench()
    bench.store.failing[b"bad"] = StoreError("poisoned")
    bad = charge(counter=b"bad:")
    asked = [plan(charge()), plan(bad), plan(charge(counter=b"e:"), bad), plan(charge())]
    assert bench.ask(*asked) == [[(True, 9)], "poisoned", "poisoned", [(True, 8)]]
    assert bench.limiter.pending == 0


def test_more_than_the_bound_is_refused_at_once() -> None:
    """What waits for the store cannot grow without end."""
    bench = Bench(pending_hits_max=2)
    bench.store.held = []
    first, second = bench.submit(plan(charge(), charge(counter=b"e:")), plan(charge(counter=b"f:")))
    bench.loop.run()
    assert first.told == []
    assert "PENDING_HITS_MAX" in second.told[0]
    bench.store.held[0]()
    assert (first.told, bench.limiter.pending) == ([[(True, 9), (True, 9)]], 0)


def test_expired_and_gone_callers_are_not_charged() -> None:
    """Whose deadline passed, or who left, costs no hit; a deadline that is still ahead does."""
    bench = Bench()
    (late,), (in_time,), (gone,) = (bench.submit(plan(charge()), deadline=at) for at in (100.0, 100.1, math.inf))
    gone.waiting = False
    bench.loop.run()
    assert (late.told, in_time.told, gone.told) == (["expired"], [[(True, 9)]], ["expired"])
    assert bench.store.amounts == [[(b"c", 1)]]


def test_the_over_limit_cache_spares_the_store() -> None:
    """Once over, a key is denied without a hit until its window ends; the others of the request still count."""
    bench = Bench(cache_bytes=1000)
    bench.ask(*[plan(charge(1))] * 2)
    assert bench.ask(plan(charge(1))) == [[(False, 0)]]
    assert len(bench.store.batches) == 1
    assert bench.ask(plan(charge(1), charge(5, counter=b"other:"))) == [[(False, 0), (True, 4)]]
    assert bench.store.amounts[1:] == [[(b"other", 1)]]
    bench.clock.advance(60)
    assert bench.ask(plan(charge(1))) == [[(True, 0)]]


def test_a_refund_reopens_a_cached_key() -> None:
    """The cache forgets a key that got something back."""
    bench = Bench(cache_bytes=1000)
    bench.ask(*[plan(charge(1))] * 2)
    bench.ask(plan(charge(1, amount=-2)))
    assert bench.ask(plan(charge(1))) == [[(True, 0)]]


def test_a_small_override_does_not_block_the_larger_limit() -> None:
    """Both are over only when both are."""
    bench = Bench(cache_bytes=1000)
    assert bench.ask(plan(charge(1)), plan(charge(1)), plan(charge(9))) == [[(True, 0)], [(False, 0)], [(True, 6)]]
    assert bench.ask(plan(charge(9)), plan(charge(1))) == [[(True, 5)], [(False, 0)]]


@pytest.mark.parametrize("part", ["store", "clock", "answers"])
def test_whatever_raises_every_caller_is_told_once(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of any part ends the calls of its tick, and the next tick works."""
    bench, fault = Bench(), RuntimeError("fault")
    bench.store.raising = fault if part == "store" else None
    bench.told.raising = fault if part == "answers" else None
    if part == "clock":
        monkeypatch.setattr(bench.clock, "now", lambda: 1 / 0)
    told = bench.ask(plan(charge()), plan(charge()))
    assert all("fault" in each or "division" in each or "the store failed" in each for each in told)
    bench.store.raising = bench.told.raising = None
    monkeypatch.undo()
    assert bench.ask(plan(charge()))[0][0][0]
    assert bench.limiter.pending == 0


def test_a_fault_of_one_request_ends_only_that() -> None:
    """Its neighbours of the same tick are counted and answered."""
    bench, bad = Bench(), charge(counter=b"bad:")
    bad.counter = None  # type: ignore[assignment]
    bad.turned_at, bad.key = -1, key(b"")
    told = bench.ask(plan(charge()), plan(bad), plan(charge()))
    assert (told[0], told[2]) == ([(True, 9)], [(True, 8)])
    assert told[1].startswith("broken:")


@pytest.mark.parametrize("results", [[], ["text"], [None, None, None]])
def test_results_that_are_none_leave_nobody_waiting(results: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that answers later, with too few, too many or no results at all: every caller is told."""
    bench, later = Bench(), list[Callable[[Results], None]]()
    monkeypatch.setattr(bench.store, "count", lambda _, done: later.append(done))
    callers = bench.submit(plan(charge()), plan(charge(), charge(counter=b"e:")))
    bench.loop.run()
    later[0](results)
    assert [caller.told[0].split(":")[0] for caller in callers] == ["broken", "broken"]
    assert bench.limiter.pending == 0


def test_a_store_that_answers_twice_is_heard_once() -> None:
    """The second answer changes nothing."""
    bench = Bench()
    bench.store.held = []
    (caller,) = bench.submit(plan(charge()))
    bench.loop.run()
    for _ in range(2):
        bench.store.held[0]()
    assert (caller.told, bench.limiter.pending) == ([[(True, 9)]], 0)


CHARGES = st.tuples(st.sampled_from([b"a:", b"b:", b"c:"]), st.integers(-3, 5), st.integers(0, 9))
PLANS = st.lists(st.lists(CHARGES, min_size=0, max_size=3), min_size=1, max_size=4)


def told_apart_and_together(asked: list[Asked], cache_bytes: int) -> tuple[list[Any], list[Any], bool]:
    """What requests are told in one tick without the cache, and one by one; whether the stores then hold the same."""
    together, apart = Bench(), Bench(cache_bytes=cache_bytes)
    callers, alone = [Caller() for _ in asked], [Caller() for _ in asked]
    together.limiter.submit(callers, asked)
    together.loop.run()
    for caller, one in zip(alone, asked, strict=True):
        apart.limiter.submit([caller], [one])
        apart.loop.run()
    told = [[each for caller in some for each in caller.told] for some in (callers, alone)]
    return told[0], told[1], together.store._counts == apart.store._counts


@given(PLANS, st.lists(st.integers(0, 3), min_size=1, max_size=12))
@example([[], [(b"c:", -1, 0)], [(b"a:", 0, 0), (b"c:", 1, 1)]], [2, 1, 2, 2])
@example([[(b"a:", 1, 5), (b"c:", 1, 9)], [(b"c:", -1, 0)]], [0, 0, 1, 0, 0])
@settings(max_examples=200)
def test_a_tick_is_as_if_the_requests_had_come_one_by_one(
    made: list[list[tuple[bytes, int, int]]], order: list[int]
) -> None:
    """Merging, sharing and telling apart change no answer and no count that is stored."""
    plans = [Asked(plan(*(charge(most, amount=n, counter=name) for name, n, most in each))) for each in made]
    together, apart, same = told_apart_and_together([plans[number % len(plans)] for number in order], 0)
    assert together == apart
    assert same


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=3), min_size=1, max_size=12))
def test_the_over_limit_cache_changes_no_answer(made: list[list[tuple[int, int]]]) -> None:
    """Where a counter has one limit, what it denies would be denied by the store."""
    asked = [Asked(plan(*(charge(3 * n, amount=by, counter=b"%d:" % n) for n, by in each))) for each in made]
    together, apart, _ = told_apart_and_together(asked, 5000)
    assert together == apart
