"""The batch of one loop tick: plans in, one call to the store, counts out.

submit ─► queue of this tick ─► _flush: one timestamp, expired calls dropped, keys known to be over set aside,
                                equal keys merged ─► CounterStore.count
Answers.decided ◄─ the counts told apart again, in arrival order ◄─┘
"""

import functools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ratelimit.clock import Clock
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Batch, CounterStore, Results
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import Charge
from ratelimit.limiter.planner import DESCRIPTORS_MAX
from ratelimit.limiter.tick import Sharing, Submitted, Tick, tell_apart, tell_apart_with_failures


class Caller(Protocol):
    """Who asked: until when it waits, in the event loop's time, and whether it still does."""

    deadline: float
    waiting: bool


class Loop(Protocol):
    """What the limiter needs of an event loop."""

    def time(self) -> float: ...

    def call_soon(self, callback: Callable[[], None]) -> object: ...


class Answers(Protocol):
    """Who answers the callers; none of these may raise. Every caller is handed back once."""

    def decided(self, tick: Tick) -> None:
        """Answer every request of the tick, from its counts."""

    def known(self, tick: Tick) -> None:
        """Answer every request of the tick without counts: the over-limit cache knows each charge, if there is any."""

    def expired(self, callers: Sequence[Any], started: float) -> None:
        """Their deadline had passed, or they had gone, before their hits were sent: nothing was counted."""

    def refused(self, tick: Tick, error: StoreError) -> None:
        """Answer every request of the tick: nothing was counted, since too much waits for the store."""

    def broken(self, callers: Sequence[Any], error: Exception, started: float) -> None:
        """Something raised that must not; those that were answered already ignore a second answer."""


class _Aside:
    """The callers of a tick that are not counted: gone or too late, no room, a fault of ours, or known without it.

    `plans` are those of the `known` callers, `refused_plans` of the `refused`.
    """

    __slots__ = ("broken", "expired", "known", "plans", "refused", "refused_plans")

    def __init__(self) -> None:
        self.known: list[Any] = []
        self.plans: list[Any] = []
        self.expired: list[Caller] = []
        self.refused: list[Caller] = []
        self.refused_plans: list[Any] = []
        self.broken: list[tuple[Caller, Exception]] = []


@dataclass(frozen=True, slots=True)
class LimiterOptions:
    """Bounds: `store_timeout_s` is what the store may take for a batch, all waits included.

    `expiration_jitter_max_s` is added at random to expiries, in seconds; `pending_hits_max` is how many hits may wait
    for the store at a time.
    """

    store_timeout_s: float = 0.01
    expiration_jitter_max_s: int = 300
    pending_hits_max: int = 100_000


class Limiter:
    """Counts plans against a store. `pending` is the number of hits that wait for the store."""

    def __init__(
        self,
        store: CounterStore,
        clock: Clock,
        loop: Loop,
        cache: OverLimitCache,
        options: LimiterOptions | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._loop = loop
        self._cache = cache
        self._options = options or LimiterOptions()
        self._random = random.Random()  # noqa: S311 - it spreads expiries, nothing secret
        self._callers: list[Any] = []
        self._plans: list[Any] = []
        self._started = 0.0
        self._answers: Answers | None = None
        self.pending = 0

    def hand_back_to(self, answers: Answers) -> None:
        """Say who answers; before the first `submit`."""
        self._answers = answers

    def submit(self, callers: Sequence[Caller], plans: Sequence[Submitted]) -> None:
        """Count one plan for each caller, together with all that comes in this tick of the loop."""
        if not self._callers:
            self._started = self._loop.time()
            self._loop.call_soon(self._flush)
        self._callers += callers
        self._plans += plans

    def _flush(self) -> None:
        answers, started = self._answers, self._started
        assert answers is not None  # noqa: S101 - `hand_back_to` comes first
        callers, plans, self._callers, self._plans = self._callers, self._plans, [], []
        try:
            loop_now = self._loop.time()
            moment = self._clock.now()
            now = int(moment)
            tick, aside = Tick(now, started), _Aside()
            tick.now_ms = int(moment * 1000)
            self._sort(zip(callers, plans, strict=True), loop_now, tick, aside)
        except Exception as error:  # noqa: BLE001 - nothing was sent: whatever it is, every caller is told
            answers.broken(callers, error, started)
            return
        for caller, fault in aside.broken:
            answers.broken((caller,), fault, started)
        if aside.expired:
            answers.expired(aside.expired, started)
        if aside.refused:
            refused = Tick(now, started)
            refused.callers, refused.plans = aside.refused, aside.refused_plans
            full = StoreError("too many hits wait for the store (PENDING_HITS_MAX)")
            self._hand_back(refused, functools.partial(answers.refused, error=full))
        if aside.known:
            known = Tick(now, started)
            known.callers, known.plans = aside.known, aside.plans
            self._hand_back(known, answers.known)
        if tick.callers:
            self._count(tick, loop_now + self._options.store_timeout_s)

    def _sort(
        self,
        requests: Iterable[tuple[Caller, Submitted]],
        loop_now: float,
        tick: Tick,
        aside: "_Aside",
    ) -> None:
        """Put each request into the tick that goes to the store, or aside."""
        sharing = Sharing(tick, self._cache, self._turn)
        callers, plans, shares, hits = tick.callers, tick.plans, tick.shares, tick.hits
        room = self._options.pending_hits_max - self.pending
        share: Any
        for caller, plan in requests:
            try:
                if caller.deadline <= loop_now or not caller.waiting:
                    aside.expired.append(caller)
                    continue
                if len(hits) > room - DESCRIPTORS_MAX and len(hits) + len(plan.charges) > room:
                    aside.refused.append(caller)
                    aside.refused_plans.append(plan)
                    continue
                charge = plan.single
                if charge is not None:
                    share = sharing.hit_of(charge)
                    to_be_counted = share is not None
                else:  # several charges, a look, a refund, or nothing to count at all
                    share = sharing.hits_of(plan)
                    to_be_counted = any(share)
            except Exception as error:  # noqa: BLE001 - it belongs to this request alone
                aside.broken.append((caller, error))
                continue
            if to_be_counted:
                callers.append(caller)
                plans.append(plan)
                shares.append(share)
            else:
                aside.known.append(caller)
                aside.plans.append(plan)
        sharing.finish()

    def _turn(self, charge: Charge, now: int) -> None:
        most = self._options.expiration_jitter_max_s
        charge.turn(now, int(self._random.random() * most) if most > 0 else 0)

    def _count(self, tick: Tick, deadline: float) -> None:
        self.pending += len(tick.hits)
        try:
            self._store.count(Batch(tick.hits, tick.now, deadline), functools.partial(self._counted, tick))
        except Exception as error:  # noqa: BLE001 - a store that breaks its contract must not leave callers waiting
            broken = StoreError(f"the store failed: {type(error).__name__}", outcome_unknown=True)
            self._counted(tick, [broken] * len(tick.hits))

    def _counted(self, tick: Tick, results: Results) -> None:
        if tick.counted:
            return
        tick.counted = True
        self.pending -= len(tick.hits)
        try:
            tick.whole = self._settle(tick, results) and not tick.partly_known
            if tick.whole:
                tell_apart(tick)
            else:
                tell_apart_with_failures(tick)
        except Exception as error:  # noqa: BLE001 - results that are none must not leave callers waiting
            self._break(tick, error)
        else:
            assert self._answers is not None  # noqa: S101 - `hand_back_to` comes first
            self._hand_back(tick, self._answers.decided)

    def _settle(self, tick: Tick, results: Results) -> bool:
        """Give each hit its result, and the cache what is over; whether all could be counted."""
        whole = True
        cache = self._cache
        for hit, result in zip(tick.hits, results, strict=True):
            hit.result = result
            if isinstance(result, StoreError):
                whole = False
                continue
            hit.count = result.count - hit.amount
            if not cache.enabled:
                continue
            key = hit.key
            if hit.amount < 0:
                cache.forget(key.name)
            elif result.count > hit.limit:
                end = key.algorithm.blocked_until(key.window_start, key.window_s)
                cache.add(key.name, result.count, end)
        return whole

    def _hand_back(self, tick: Tick, answer: Callable[[Tick], None]) -> None:
        try:
            answer(tick)
        except Exception as error:  # noqa: BLE001 - likewise: it must not reach the store, nor leave callers waiting
            self._break(tick, error)

    def _break(self, tick: Tick, error: Exception) -> None:
        assert self._answers is not None  # noqa: S101 - likewise
        self._answers.broken(tick.callers, error, tick.started)
