"""What happened to a shared ledger and is not yet in the store."""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

# What happened while the store is away, for when it is back.
EVENTS_MAX = 1_000

_moment = attrgetter("at_s")


@dataclass(slots=True)
class Event:
    """Something that happened: a method of `Ledger`, its arguments, and when. `timed`: the moment is one of them.

    `answered`: it was a report, and its Envoy was told what was sent last.
    """

    what: str
    envoy: str
    arguments: tuple[Any, ...]
    at_s: float
    answered: bool = False
    timed: bool = True


class Events:
    """What a commit has is kept until that is known to be in the store; what came since is not looked at until then."""

    __slots__ = ("_committing", "_news")

    def __init__(self) -> None:
        self._committing: list[Event] = []
        self._news: list[Event] = []

    def __bool__(self) -> bool:
        return bool(self._committing or self._news)

    def __iter__(self) -> Iterator[Event]:
        """Those that a commit has."""
        return iter(self._committing)

    def add(self, event: Event) -> None:
        """Something happened."""
        self._news.append(event)

    def latest_s(self, otherwise_s: float) -> float:
        """When the last thing happened that no commit has."""
        return self._news[-1].at_s if self._news else otherwise_s

    def gather(self) -> None:
        """A commit is made of all, in the order of their moments; where that is too much, of the last of each kind."""
        self._committing += sorted(self._news, key=_moment)
        self._news.clear()
        if len(self._committing) > EVENTS_MAX:
            latest = {(event.what, event.envoy): event for event in self._committing}
            self._committing = sorted(latest.values(), key=_moment)

    def committed(self) -> None:
        """What the commit has is in the store."""
        self._committing.clear()
