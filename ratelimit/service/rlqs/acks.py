"""Whether the answer to a PING tells of the Envoy: not where a proxy between has read what was written.

Two signs tell of a proxy. It adds fields to the head of the stream that an Envoy does not send on its own. And an Envoy
that did not get an assignment goes on with the one before: it allows more than it was given, which its report shows.
"""

from collections.abc import Iterable
from math import sqrt
from typing import Any

from ratelimit.quota.assignment import Action, Assign

# What HTTP proxies add to requests, Envoy's own connection manager among them, and no Envoy sends on its own stream.
PROXY_FIELDS = frozenset(
    (
        "via",
        "x-forwarded-proto",
        "forwarded",
        "x-request-id",
        "x-forwarded-client-cert",
        "x-envoy-attempt-count",
        "x-envoy-decorator-operation",
    )
)
# More than this was not given: a part and some deviations for what is not reckoned exactly, such as the way there.
_MORE, _DEVIATIONS, _LEAST = 1.25, 4.0, 20.0
# An assignment that is not obeyed shows in the report after it, or in the next one.
_SHOWN_AFTER = 2
_NOTHING = Assign(0, 0, 0)


def came_through_a_proxy(metadata: Iterable[tuple[str, Any]]) -> bool:
    """Whether the head of a stream shows it."""
    return any(key in PROXY_FIELDS for key, _ in metadata)


def is_more_than(assigned: Assign, allowed: int, elapsed_s: float) -> bool:
    """Whether so much was allowed in this time that an Envoy which had nothing but this cannot have obeyed it."""
    given = assigned.tokens_per_fill / assigned.fill_interval_s * (elapsed_s + 1)  # whole seconds are told
    return _is_beyond(allowed, given, assigned.max_tokens)


class Given:
    """What one bucket of an Envoy was given since its last report, in tokens, if it obeys what it was told.

    It is kept while what it was told is new; of what has been in force for long `is_more_than` says enough.
    `before` is what it obeyed since its last report, at `reported_s`; None where that is not known, as of a new bucket:
    then the report after the first assignment tells of the time before it too, and is not judged.
    """

    __slots__ = ("_assigned", "_given", "_known", "_left", "_since_s")

    def __init__(self, before: Action | None, reported_s: float) -> None:
        self._assigned = before if isinstance(before, Assign) else _NOTHING
        self._known = self._assigned is not _NOTHING
        self._given, self._since_s = 0.0, reported_s
        self._left = _SHOWN_AFTER

    @property
    def over(self) -> bool:
        """Whether reports have nothing more to say of what it was told."""
        return self._left <= 0

    def told(self, action: Action, now_s: float) -> None:
        """It was told this."""
        if isinstance(action, Assign) and action != self._assigned:
            self._reckon(now_s)
            self._given += action.max_tokens
            self._assigned = action
            self._left = _SHOWN_AFTER

    def reported(self, allowed: int, now_s: float) -> bool:
        """It allowed so much: whether that is more than it can have."""
        self._reckon(now_s)
        assigned, given, self._given = self._assigned, self._given, 0.0
        if assigned is _NOTHING:
            return False
        known, self._known = self._known, True
        self._left -= 1
        return known and _is_beyond(allowed, given, assigned.max_tokens)

    def _reckon(self, now_s: float) -> None:
        """Add up what came to it until now."""
        self._given += self._assigned.tokens_per_fill / self._assigned.fill_interval_s * (now_s - self._since_s)
        self._since_s = now_s


def _is_beyond(allowed: int, given: float, burst: int) -> bool:
    # Nearly all allow less than they were given.
    return allowed > given and allowed > _MORE * given + 2 * burst + _DEVIATIONS * sqrt(given) + _LEAST
