"""Short ways to say plans and limits in tests."""

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.limiter.plan import Charge, Plan, Verdict


def limit(
    requests_per_unit: int, unit: Unit = Unit.MINUTE, *, shadow_mode: bool = False, quota_mode: bool = False
) -> Limit:
    """A limit per minute."""
    return Limit(requests_per_unit, unit, shadow_mode=shadow_mode, quota_mode=quota_mode)


def charge(requests_per_unit: int = 10, *, amount: int = 1, counter: bytes = b"c:", of: Limit | None = None) -> Charge:
    """One charge of a counter."""
    return Charge(of or limit(requests_per_unit), counter, amount, "d.k")


def plan(*steps: Charge | Verdict) -> Plan:
    """A plan of the given steps."""
    return Plan("d", steps)
