"""Whether the answer to a PING tells of the Envoy: not where a proxy between has read what was written.

Two signs tell of a proxy. It adds fields to the head of the stream that an Envoy does not send on its own. And an Envoy
that did not get an assignment goes on with the one before: it allows more than it was given, which its report shows.
"""

from collections.abc import Iterable
from math import inf, sqrt
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
# The first report of a bucket, and the one after it, tell of the time before it was assigned anything.
_JUDGED_FROM = 2
_NOTHING = Assign(0, 0, 0)


def came_through_a_proxy(metadata: Iterable[tuple[str, Any]]) -> bool:
    """Whether the head of a stream shows it."""
    return any(key in PROXY_FIELDS for key, _ in metadata)


class Given:
    """What one bucket of an Envoy was given since its last report, in tokens, if it obeys what it was told."""

    __slots__ = ("_assigned", "_given", "_reports", "_since_s", "_told_s")

    def __init__(self) -> None:
        self._assigned = _NOTHING
        self._given = self._since_s = 0.0
        self._reports = 0
        self._told_s = -inf

    def told(self, action: Action, now_s: float) -> None:
        """It was told this."""
        if action is not self._assigned:
            if not isinstance(action, Assign):
                return
            if action != self._assigned:
                self._reckon(now_s)
                self._given += action.max_tokens
            self._assigned = action
        self._told_s = now_s

    def reported(self, allowed: int, elapsed_s: float, now_s: float) -> bool:
        """It allowed so much: whether that is more than it can have."""
        self._reckon(now_s)
        assigned, given, self._given = self._assigned, self._given, 0.0
        if elapsed_s < 1 or now_s - self._told_s > assigned.ttl_s:
            # A new bucket, or one that had to do without us.
            self._reports = 0
        self._reports += 1
        if allowed <= given or self._reports <= _JUDGED_FROM:
            return False
        return allowed > _MORE * given + 2 * assigned.max_tokens + _DEVIATIONS * sqrt(given) + _LEAST

    def _reckon(self, now_s: float) -> None:
        """Add up what came to it until now."""
        self._given += self._assigned.tokens_per_fill / self._assigned.fill_interval_s * (now_s - self._since_s)
        self._since_s = now_s
