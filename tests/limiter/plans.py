"""Short ways to say plans, limits and keys in tests."""

from dataclasses import dataclass

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.limiter.algorithm import FIXED_WINDOW, Algorithm
from ratelimit.limiter.counter_key import CounterKey
from ratelimit.limiter.counter_store import Hit
from ratelimit.limiter.decision import near_limit_threshold
from ratelimit.limiter.plan import DEFAULT_RULES, Charge, DecisionRules, Plan, Verdict
from ratelimit.limiter.window import window_of
from ratelimit.metrics import LimitStats

NOW = 1_700_000_010


def limit(
    requests_per_unit: int, unit: Unit = Unit.MINUTE, *, shadow_mode: bool = False, quota_mode: bool = False
) -> Limit:
    """A limit per minute."""
    return Limit(requests_per_unit, unit, shadow_mode=shadow_mode, quota_mode=quota_mode)


def charge(requests_per_unit: int = 10, *, amount: int = 1, counter: bytes = b"c:", of: Limit | None = None) -> Charge:
    """One charge of a counter, ready for NOW."""
    rule = of or limit(requests_per_unit)
    made = Charge(rule, counter, amount, near_limit_threshold(rule.requests_per_unit, 0.8), LimitStats())
    made.turn(NOW, 0)
    return made


def plan(*steps: Charge | Verdict, quota_mode: bool = False, together: int = 0) -> Plan:
    """A plan of the given steps."""
    return Plan("d", steps, DecisionRules(quota_mode=quota_mode) if quota_mode else DEFAULT_RULES, together=together)


def key(
    name: bytes, *, expire_s: int = 60, unit: Unit = Unit.DAY, now: int = NOW, algorithm: Algorithm = FIXED_WINDOW
) -> CounterKey:
    """A counter in the window of `now`."""
    return CounterKey(name, algorithm, unit, *window_of(limit(1, unit), now), expire_s)


def hit(
    name: bytes, amount: int = 1, *, limit: int = 10, expire_s: int = 60, group: int = 0, stops: bool = True
) -> Hit:
    """A hit on a counter of a daily limit."""
    return Hit(key(name, expire_s=expire_s), amount, limit, group, stops)


def moment(
    algorithm: Algorithm, at_ms: int, amount: int = 1, *, limit: int = 10, unit: Unit = Unit.SECOND, name: bytes = b"k"
) -> Hit:
    """A hit of an algorithm that counts in milliseconds."""
    return Hit(key(name, unit=unit, now=at_ms // 1000, algorithm=algorithm), amount, limit, at_ms=at_ms)


@dataclass(slots=True, eq=False)
class Asked:
    """What a limiter is given for a request, without a service around it."""

    plan: Plan

    @property
    def charges(self) -> tuple[Charge, ...]:
        return self.plan.charges

    @property
    def amounts(self) -> tuple[int, ...]:
        return tuple(each.amount for each in self.plan.charges)

    @property
    def together(self) -> int:
        return self.plan.together

    @property
    def own(self) -> bool:
        return self.plan.own

    @property
    def single(self) -> Charge | None:
        charges = self.plan.charges
        return charges[0] if len(charges) == 1 and charges[0].amount > 0 and not self.own else None
