"""Where reports are noted of Envoys whose ledger is shared: what it is told of them waits for the store."""

from collections.abc import Callable
from typing import TypeAlias

from ratelimit.quota.usage_sheet import CLOSED, NOTED, OPEN, UsageSheet

Counts: TypeAlias = tuple[int, int, float]
Noted: TypeAlias = Callable[[str, Counts, float], None]
"""Takes what was noted of an Envoy: allowed, denied, in so many seconds, and when it was reported."""


class Seats:
    """By Envoy its sheet and its place there. Whatever is noted is handed to `noted` before anything else changes."""

    __slots__ = ("_noted", "_seats")

    def __init__(self, noted: Noted) -> None:
        self._noted = noted
        self._seats: dict[str, tuple[UsageSheet, int]] = {}

    def sit(self, envoy: str, sheet: UsageSheet, place: int, now_s: float) -> None:
        """Its reports are noted there from now on. It has just reported."""
        if self._seats.get(envoy) != (sheet, place):
            self.let(envoy, opens=False)
            self._seats[envoy] = sheet, place
        sheet.at_s[place] = now_s

    def stand_up(self, envoy: str) -> None:
        """Its reports are noted nowhere."""
        self.let(envoy, opens=False)
        self._seats.pop(envoy, None)

    def let(self, envoy: str, *, opens: bool) -> None:
        """Whether its reports are noted."""
        self.take(envoy)
        if envoy in self._seats:
            sheet, place = self._seats[envoy]
            sheet.states[place] = OPEN if opens else CLOSED

    def take(self, envoy: str) -> None:
        """Hand over what was noted of an Envoy."""
        if envoy in self._seats:
            sheet, place = self._seats[envoy]
            if sheet.states[place] == NOTED:
                sheet.states[place] = OPEN
                counts = sheet.allowed[place], sheet.denied[place], sheet.elapsed_s[place]
                self._noted(envoy, counts, sheet.at_s[place])

    def take_all(self) -> None:
        """Hand over what was noted of all."""
        for envoy in self._seats:
            self.take(envoy)
