"""What the Envoys of a shared ledger were sent last, and where their reports are noted while they obey that."""

from collections.abc import Callable
from math import inf
from typing import TypeAlias

from ratelimit.quota.assignment import Push
from ratelimit.quota.usage_sheet import CLOSED, NOTED, OPEN, UsageSheet

Counts: TypeAlias = tuple[int, int, float]
Noted: TypeAlias = Callable[[str, Counts, float], None]
"""Takes what was noted of an Envoy: allowed, denied, in so many seconds, and when it was reported."""


class _Envoy:
    # One object for each, as there are a hundred thousand of them.
    __slots__ = ("leased_until_s", "place", "push", "sheet")

    def __init__(self) -> None:
        self.push: Push | None = None
        self.leased_until_s = -inf
        self.sheet: UsageSheet | None = None
        self.place = 0


class Sent:
    """By Envoy the last push, when the lease of what was sent last ends, and its sheet and its place there.

    Whatever is noted is handed to `noted` before anything else changes.
    """

    __slots__ = ("_envoys", "_noted")

    def __init__(self, noted: Noted) -> None:
        self._noted = noted
        self._envoys: dict[str, _Envoy] = {}

    def get(self, envoy: str) -> Push | None:
        """What it was sent last, if that is to be said again."""
        found = self._envoys.get(envoy)
        return None if found is None else found.push

    def put(self, envoy: str, push: Push | None) -> None:
        """Keep what it was sent last; None where nothing is to be said again."""
        if push is not None or envoy in self._envoys:
            self._of(envoy).push = push

    def leased_until(self, envoy: str) -> float:
        """When its lease ends, in seconds of this replica's clock."""
        found = self._envoys.get(envoy)
        return -inf if found is None else found.leased_until_s

    def lease(self, envoy: str, until_s: float) -> None:
        """Its lease was renewed."""
        self._of(envoy).leased_until_s = until_s

    def forget(self, envoy: str) -> None:
        """Nothing is in force there."""
        found = self._envoys.get(envoy)
        if found is not None:
            self.let(envoy, opens=False)
            found.push, found.leased_until_s = None, -inf
            if found.sheet is None:
                del self._envoys[envoy]

    def sit(self, envoy: str, sheet: UsageSheet, place: int, now_s: float) -> None:
        """Its reports are noted there from now on. It has just reported."""
        found = self._of(envoy)
        if found.sheet is not sheet or found.place != place:
            self.let(envoy, opens=False)
            found.sheet, found.place = sheet, place
        sheet.at_s[place] = now_s

    def stand_up(self, envoy: str) -> None:
        """Its reports are noted nowhere, and nothing is said again."""
        self.let(envoy, opens=False)
        found = self._envoys.get(envoy)
        if found is not None:
            found.sheet = found.push = None

    def let(self, envoy: str, *, opens: bool) -> None:
        """Whether its reports are noted."""
        self.take(envoy)
        found = self._envoys.get(envoy)
        if found is not None and found.sheet is not None:
            found.sheet.states[found.place] = OPEN if opens else CLOSED

    def take(self, envoy: str) -> None:
        """Hand over what was noted of an Envoy."""
        found = self._envoys.get(envoy)
        if found is not None:
            self._take(envoy, found)

    def take_all(self) -> None:
        """Hand over what was noted of all."""
        for envoy, found in self._envoys.items():
            self._take(envoy, found)

    def _take(self, envoy: str, found: _Envoy) -> None:
        sheet, place = found.sheet, found.place
        if sheet is not None and sheet.states[place] == NOTED:
            sheet.states[place] = OPEN
            counts = sheet.allowed[place], sheet.denied[place], sheet.elapsed_s[place]
            self._noted(envoy, counts, sheet.at_s[place])

    def _of(self, envoy: str) -> _Envoy:
        found = self._envoys.get(envoy)
        if found is None:
            found = self._envoys[envoy] = _Envoy()
        return found
