"""What a request will do, worked out before anything is counted.

A plan depends on the request and the configuration only, never on counts, so the same request bytes give the same plan
until the next reload: the service keeps plans in a memo. What a charge needs in one window (its counter's key) is kept
with it and made anew when the window turns.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.limiter.algorithm import ALGORITHMS, FIXED_WINDOW, Algorithm
from ratelimit.limiter.counter_key import CounterKey
from ratelimit.limiter.window import window_of


class Verdict(Enum):
    """What the configuration says of a descriptor that is not counted."""

    NO_LIMIT = "no limit matched"
    REPLACED = "another limit of the request replaces it"
    UNLIMITED = "the limit is unlimited"


class LimitStats(Protocol):
    """The metrics of one limit, in hits: plain integers that are added to."""

    total_hits: int
    over_limit: int
    near_limit: int
    over_limit_with_local_cache: int
    within_limit: int
    shadow_mode: int
    total_negative_hits: int


_NO_KEY = CounterKey(b"", FIXED_WINDOW, Unit.SECOND, -1, 1, 1)


class Charge:
    """A descriptor that reached a limit and is counted.

    `counter` is the counter without its window. `amount` follows `Hit.amount`: 0 looks, a negative one is a refund.
    `near_limit` is the count above which a hit is near the limit. `stats` are the metrics of its limit.
    `key` is the counter's key in the window of the second `turned_at`.
    """

    __slots__ = (
        "algorithm",
        "amount",
        "counter",
        "key",
        "limit",
        "near_limit",
        "requests_per_unit",
        "stats",
        "turned_at",
    )

    def __init__(self, limit: Limit, counter: bytes, amount: int, near_limit: int, stats: LimitStats) -> None:
        self.limit = limit
        self.requests_per_unit = limit.requests_per_unit
        self.algorithm: Algorithm = ALGORITHMS[limit.algorithm]
        self.counter = counter
        self.amount = amount
        self.near_limit = near_limit
        self.stats = stats
        self.turned_at = -1
        self.key = _NO_KEY

    def turn(self, now: int, jitter_s: int) -> None:
        """Be ready for the second `now`: where another window began, its key takes the place of the one before."""
        limit = self.limit
        start, seconds = window_of(limit, now)
        if start != self.key.window_start:
            name = self.algorithm.name(self.counter, start)
            self.key = CounterKey(name, self.algorithm, limit.unit, start, seconds, seconds + jitter_s)
        self.turned_at = now


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """What the settings say of every decision: NEAR_LIMIT_RATIO and QUOTA_MODE. A reload may change them."""

    near_limit_ratio: float = 0.8
    quota_mode: bool = False


DEFAULT_RULES = DecisionRules()


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """One step per descriptor, in the order of the request. `domain_found` is False for an unknown domain.

    `together` is the sign of `Hit.group` for its charges, 0 where each is charged by itself.
    """

    domain: str
    steps: tuple[Charge | Verdict, ...]
    rules: DecisionRules = DEFAULT_RULES
    domain_found: bool = True
    together: int = 0

    @property
    def charges(self) -> tuple[Charge, ...]:
        """The steps that are counted, in their order."""
        return tuple(step for step in self.steps if isinstance(step, Charge))

    @property
    def own(self) -> bool:
        """Whether its hits are shared with no other request: they are charged together, or cannot be merged."""
        return self.together != 0 or not all(charge.algorithm.mergeable for charge in self.charges)
