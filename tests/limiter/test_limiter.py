from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.clock import SteppedClock
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Counted, Hit
from ratelimit.limiter.decision import Decision
from ratelimit.limiter.limiter import Limiter, LimiterOptions, merge, split
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import Plan, Verdict
from ratelimit.stores.memory import MemoryStore
from tests.limiter.plans import charge, plan

Outcome = Decision | StoreError


class Ticks:
    """A loop that runs when told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def schedule(self, callback: Callable[[], None]) -> None:
        self.waiting.append(callback)

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for callback in waiting:
            callback()


class Recorder(MemoryStore):
    """A memory store that remembers its batches, and fails while `failing` is set."""

    def __init__(self) -> None:
        super().__init__(SteppedClock())
        self.batches: list[list[Hit]] = []
        self.failing: StoreError | None = None

    def count(self, hits: Sequence[Hit], done: Counted) -> None:
        self.batches.append(list(hits))
        if self.failing is not None:
            done(self.failing)
        else:
            super().count(hits, done)


class Bench:
    """A limiter with everything it needs."""

    def __init__(self, *, cache_bytes: int = 0, pending_hits_max: int = 100) -> None:
        self.store, self.clock, self.ticks = Recorder(), SteppedClock(), Ticks()
        options = LimiterOptions(expiration_jitter_max_s=0, pending_hits_max=pending_hits_max)
        self.limiter = Limiter(self.store, self.clock, self.ticks.schedule, OverLimitCache(cache_bytes), options)

    def ask(self, *plans: Plan) -> list[Outcome]:
        """Submit plans in one tick and run it."""
        answers: list[Outcome] = []
        for one in plans:
            self.limiter.submit(one, answers.append)
        self.ticks.run()
        return answers

    def admitted(self, *plans: Plan) -> list[bool]:
        """Which of the plans of one tick are admitted."""
        return [isinstance(answer, Decision) and not answer.over_limit for answer in self.ask(*plans)]


def test_one_tick_is_one_batch_and_equal_keys_one_hit() -> None:
    """Eleven requests of one counter are one hit of eleven, and ten are admitted in order of arrival."""
    bench = Bench()
    assert bench.admitted(*[plan(charge(10))] * 11) == [True] * 10 + [False]
    assert [[(hit.amount, hit.expire_s) for hit in batch] for batch in bench.store.batches] == [[(11, 60)]]
    assert bench.limiter.pending == 0


def test_what_needs_no_count_is_answered_at_once() -> None:
    """A request without limits does not wait for a tick or the store."""
    bench, answers = Bench(), list[Outcome]()
    bench.limiter.submit(plan(Verdict.NO_LIMIT), answers.append)
    assert len(answers) == 1
    assert bench.ticks.waiting == []


def test_the_next_window_counts_anew() -> None:
    """The window is part of the key."""
    bench = Bench()
    assert bench.admitted(plan(charge(1)), plan(charge(1))) == [True, False]
    bench.clock.advance(60)
    assert bench.admitted(plan(charge(1))) == [True]


def test_a_store_error_reaches_every_request_once() -> None:
    """Nobody is left without an answer."""
    bench = Bench()
    bench.store.failing = StoreError("down")
    answers = bench.ask(plan(charge()), plan(charge()))
    assert [str(answer) for answer in answers] == ["down", "down"]
    assert bench.limiter.pending == 0


def test_more_than_the_bound_is_refused_at_once() -> None:
    """The queue cannot grow without end."""
    bench = Bench(pending_hits_max=2)
    answers = bench.ask(plan(charge(), charge()), plan(charge()))
    assert isinstance(answers[0], StoreError)
    assert "PENDING_HITS_MAX" in str(answers[0])
    assert isinstance(answers[1], Decision)


def test_the_over_limit_cache_spares_the_store() -> None:
    """Once over, a key is denied without a hit until its window ends; the others of the request still count."""
    bench = Bench(cache_bytes=1000)
    bench.ask(*[plan(charge(1))] * 2)
    batches = len(bench.store.batches)
    assert bench.admitted(plan(charge(1))) == [False]
    assert len(bench.store.batches) == batches
    bench.ask(plan(charge(1), charge(5, counter=b"other:")))
    assert [hit.key.split(b":")[0] for hit in bench.store.batches[-1]] == [b"other"]


def test_a_refund_reopens_a_cached_key() -> None:
    """The cache forgets a key that got something back."""
    bench = Bench(cache_bytes=1000)
    assert bench.admitted(*[plan(charge(1))] * 2) == [True, False]
    bench.ask(plan(charge(1, amount=-2)))
    assert bench.admitted(plan(charge(1))) == [True]


def test_one_callers_fault_does_not_take_the_others_answers() -> None:
    """A callback that raises is reported after everybody has an answer."""
    bench, answers = Bench(), list[Outcome]()

    def broken(_: Outcome) -> None:
        raise RuntimeError("broken")

    bench.limiter.submit(plan(charge()), broken)
    bench.limiter.submit(plan(charge()), answers.append)
    with pytest.raises(RuntimeError, match="broken"):
        bench.ticks.run()
    assert len(answers) == 1


HITS = st.lists(st.builds(Hit, st.sampled_from([b"a", b"b"]), st.integers(-3, 5), st.just(60)), min_size=1, max_size=12)


@given(HITS)
def test_merging_changes_no_count(hits: list[Hit]) -> None:
    """The counts split back are those of the hits one by one."""
    one_by_one, merged_counts = list[list[int] | StoreError](), list[list[int] | StoreError]()
    MemoryStore(SteppedClock()).count(hits, one_by_one.append)
    merged, places = merge(hits)
    MemoryStore(SteppedClock()).count(merged, merged_counts.append)
    assert isinstance(merged_counts[0], list)
    assert split(hits, merged_counts[0], places) == one_by_one[0]
