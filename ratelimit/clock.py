"""The wall clock, one that follows the clock of a store, and one that a test steps by hand."""

import time
from collections.abc import Callable
from typing import Protocol

# How far a machine's steady clock may run from another's, in seconds a second: what an answer once told grows stale by.
DRIFT = 200e-6


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> float:
        return time.time()


class FollowingClock:
    """A clock somewhere else, known from what it told: instances that follow the same one agree on every window.

    Between answers it runs by `steady`, a clock that nobody sets, so a step of this machine's clock does not reach it.
    Before the first answer it tells `local`. An answer was read somewhere between its question and its arrival, so half
    of that time is its error: the surest answer is kept while those that follow agree with it, and one that contradicts
    it, as after a failover or a step of the clock there, takes its place at once.
    """

    def __init__(self, local: Clock, steady: Callable[[], float]) -> None:
        self._local = local
        self._steady = steady
        self._ahead: float | None = None
        self._error = 0.0
        self._heard_at = 0.0

    def now(self) -> float:
        return self._local.now() if self._ahead is None else self._steady() + self._ahead

    @property
    def ahead_of_local(self) -> float:
        """How far it is ahead of the local clock, in seconds."""
        return self.now() - self._local.now()

    def hear(self, told: float, asked_at: float, heard_at: float) -> None:
        """Take an answer in: `told` in seconds since the Unix epoch, the other two in `steady`'s time."""
        error = (heard_at - asked_at) / 2
        ahead = told - (asked_at + heard_at) / 2
        if self._ahead is not None:
            held_error = self._error + DRIFT * (heard_at - self._heard_at)
            if error > held_error and abs(ahead - self._ahead) <= error + held_error:
                return
        self._ahead, self._error, self._heard_at = ahead, error, heard_at


class SteppedClock:
    """A clock that stands still until `advance` moves it."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move by `seconds`; negative values step the clock back."""
        self._now += seconds
