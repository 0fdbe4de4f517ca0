"""The exact lane: the service's limiter and its memory store, one request a tick, at the moment that a log says."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import Charge, Plan
from ratelimit.limiter.tick import Tick, judged
from ratelimit.stores.memory import MemoryStore


class Submission:
    """The charges of a plan, as the limiter takes them; see `limiter.tick.Submitted`."""

    __slots__ = ("amounts", "charges", "own", "single", "together")

    def __init__(self, plan: Plan) -> None:
        self.charges = charges = plan.charges
        self.amounts = tuple(charge.amount for charge in charges)
        self.together = plan.together
        self.own = plan.own
        alone = len(charges) == 1 and charges[0].amount > 0 and not self.own
        self.single: Charge | None = charges[0] if alone else None


class SetClock:
    """A clock that stands at the unix millisecond that it was set to."""

    def __init__(self) -> None:
        self.ms = 0

    def now(self) -> float:
        # In the middle of its millisecond: no rounding of a double leads out of it.
        return (self.ms + 0.5) / 1_000


class Turned:
    """An event loop that is turned by hand, and the caller that waits in it."""

    deadline = math.inf
    waiting = True

    def __init__(self) -> None:
        self._callback: Callable[[], None] = lambda: None

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def turn(self) -> None:
        """Run what was to run."""
        self._callback()


class ExactLane:
    """Counts submissions one after the other. A store that is full, which the service may have, is not replayed."""

    def __init__(self, cache: OverLimitCache) -> None:
        self._clock = SetClock()
        self._loop = Turned()
        self._results: list[Counted] = []
        self.store = MemoryStore(sys.maxsize)
        options = LimiterOptions(expiration_jitter_max_s=0)
        self._limiter = Limiter(self.store, self._clock, self._loop, cache, options)
        self._limiter.hand_back_to(self)

    def count(self, submission: Submission, ms: int) -> list[Counted]:
        """What each charge came to at the unix millisecond `ms`, no earlier than any before."""
        self._clock.ms = ms
        self._limiter.submit((self._loop,), (submission,))
        self._loop.turn()
        return self._results

    def decided(self, tick: Tick) -> None:
        (submission,), (counts,), (shares,) = tick.plans, tick.counts, tick.shares
        alone = submission.single is not None
        self._results = judged(
            submission.charges, [shares] if alone else shares, [counts] if alone else counts, tick.now
        )

    def known(self, tick: Tick) -> None:
        (submission,) = tick.plans
        nothing = [None] * len(submission.charges)
        self._results = judged(submission.charges, nothing, nothing, tick.now)

    def expired(self, callers: Sequence[Any], started: float) -> None:
        raise AssertionError(f"a replay has no deadline: {len(callers)}, {started}")

    def refused(self, tick: Tick, error: StoreError) -> None:
        raise AssertionError(f"nothing waits for the store of a replay: {tick.now}, {error}")

    def broken(self, callers: Sequence[Any], error: Exception, started: float) -> None:
        raise AssertionError(f"what cannot fail did: {len(callers)}, {started}") from error
