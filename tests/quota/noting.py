"""A ledger whose Envoys have their reports noted, as streams of the service do it."""

from typing import Protocol

from ratelimit.quota.assignment import Abandon, Assign, Push
from ratelimit.quota.usage_sheet import NOTED, UsageSheet
from tests.quota.world import Server


class NotingServer(Server, Protocol):
    """A ledger that can be told of notes."""

    plan_every_s: float
    next_tick_s: float

    def sit(self, envoy: str, sheet: UsageSheet, place: int, now_s: float) -> None: ...

    def heard(self, now_s: float) -> None: ...


class Noting:
    """As a ledger, but what need only be noted is noted in one sheet, and answered by what was told last."""

    def __init__(self, ledger: NotingServer) -> None:
        self.ledger = ledger
        self.sheet = UsageSheet()
        self.noted = 0
        self._places: dict[str, int] = {}
        self._told: dict[str, Push] = {}
        self._awaits = True

    def take_report(self, envoy: str, allowed: int, denied: int, elapsed_s: float, now_s: float) -> Push | None:
        """What a stream does with one of its buckets."""
        if envoy not in self._places:
            self._places[envoy] = self.sheet.sit(now_s)
        place = self._places[envoy]
        if self.sheet.take(place, allowed, denied, elapsed_s, now_s):
            self.noted += 1
            if self._awaits:
                self._awaits = False
                self.ledger.heard(now_s)
            told = self._told[envoy]
            return Push(envoy, told.seq, told.action, asks=False)
        push = self.ledger.take_report(envoy, allowed, denied, elapsed_s, now_s)
        self.ledger.sit(envoy, self.sheet, place, now_s)
        self._keep([] if push is None else [push])
        return push

    def holds(self, envoy: str) -> bool:
        """Whether a report of it waits to be asked for."""
        return envoy in self._places and self.sheet.states[self._places[envoy]] == NOTED

    def acked(self, envoy: str, seq: int, now_s: float) -> None:
        """As a ledger's."""
        self.ledger.acked(envoy, seq, now_s)

    def closed(self, envoy: str, now_s: float) -> None:
        """As a ledger's."""
        self.ledger.closed(envoy, now_s)
        self._leave(envoy)

    def tick(self, now_s: float) -> list[Push]:
        """As a ledger's."""
        pushes = self.ledger.tick(now_s)
        self._awaits = True
        self._keep(pushes)
        return pushes

    def _keep(self, pushes: list[Push]) -> None:
        for push in pushes:
            if isinstance(push.action, Assign):
                self._told[push.envoy] = push
            elif isinstance(push.action, Abandon):
                self._leave(push.envoy)

    def _leave(self, envoy: str) -> None:
        if envoy in self._places:
            self.sheet.leave(self._places.pop(envoy))
