"""The wall clock, and one that a test steps by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Seconds since the Unix epoch."""


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> float:
        return time.time()


class SteppedClock:
    """A clock that stands still until `advance` moves it."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Move by `seconds`; negative values step the clock back."""
        self._now += seconds
