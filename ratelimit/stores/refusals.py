"""What a server refuses, told when it begins and when it is over, and counted in between."""

from collections.abc import Sequence

import structlog

from ratelimit.limiter.counter_store import Hit

# How the reason of an error begins that is the server's own word.
REFUSED = "the store refused"
REFUSALS_LOGGED_MAX = 20
# So long no hit must be refused before it is told that this is over: a server at the edge of its memory refuses some.
REFUSAL_OVER_S = 10.0
# Refusals of one key, whatever its neighbours: no state of the server, so none that ends.
KEY_REFUSALS = frozenset(f"{REFUSED}: {word}" for word in ("WRONGTYPE", "ERR", "CLIENT_ERROR", "not a number"))

LATE = "the store did not answer in time (REDIS_TIMEOUT)"

_log = structlog.get_logger(__name__)


class Refusals:
    """The reasons heard lately, each with the moment when it was heard last. Moments are the event loop's time."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._heard)

    def clear(self) -> None:
        """Forget all: it is another connection."""
        self._heard.clear()

    def note(self, reason: str, now: float) -> None:
        """One line when the server begins to refuse for this reason."""
        if reason not in self._heard:
            if len(self._heard) >= REFUSALS_LOGGED_MAX:
                return
            _log.warning("hits cannot be counted; more of the same are only counted", reason=reason)
        self._heard[reason] = now

    def note_counted(self, hits: Sequence[Hit], now: float) -> None:
        """One line when what the server refused is counted again. Looks say nothing: they need no memory."""
        if not any(hit.amount > 0 for hit in hits):
            return
        for reason, heard in list(self._heard.items()):
            if heard <= now - REFUSAL_OVER_S and reason not in KEY_REFUSALS:
                del self._heard[reason]
                _log.warning("hits are counted again", reason=reason)
