"""Whether the answer to a PING tells of the Envoy: not where a proxy between has read what was written.

Two signs tell of a proxy. It adds fields to the head of the stream that an Envoy does not send on its own. And an Envoy
that did not get an assignment goes on with the one before: it allows more than it was given, which its report shows.
"""

from collections.abc import Iterable
from math import inf, sqrt
from typing import Any

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


def came_through_a_proxy(metadata: Iterable[tuple[str, Any]]) -> bool:
    """Whether the head of a stream shows it."""
    return any(key in PROXY_FIELDS for key, _ in metadata)


def is_contradicted(row: Any, allowed: int, now_s: float) -> bool:
    """Whether an Envoy allowed more than it can have, if it obeys what was acknowledged. `row` is the ledger's."""
    if row.fresh or row.unknown or row.silent or row.pend < inf:
        return False
    given = row.offered + row.rate * (now_s - row.since)
    return bool(allowed > _MORE * given + 2 * row.burst + _DEVIATIONS * sqrt(given) + _LEAST)
