"""What a request will do, worked out before anything is counted.

A plan depends on the request and the configuration only, never on time or counts, so the same request bytes give the
same plan until the next reload: the service keeps plans in a memo.
"""

from dataclasses import dataclass
from enum import Enum

from ratelimit.descriptors.limit import Limit


class Verdict(Enum):
    """What the configuration says of a descriptor that is not counted."""

    NO_LIMIT = "no limit matched"
    REPLACED = "another limit of the request replaces it"
    UNLIMITED = "the limit is unlimited"


@dataclass(frozen=True, slots=True)
class Charge:
    """A descriptor that reached a limit and is counted.

    `counter` is the counter key without its window. `amount` follows `Hit.amount`: 0 looks, a negative one is a
    refund. `stat_key` names the limit in the metrics, as envoyproxy/ratelimit composes it, not yet sanitised.
    """

    limit: Limit
    counter: bytes
    amount: int
    stat_key: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One step per descriptor, in the order of the request. `domain_found` is False for an unknown domain."""

    domain: str
    steps: tuple[Charge | Verdict, ...]
    domain_found: bool = True
