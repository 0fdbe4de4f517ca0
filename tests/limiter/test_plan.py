from ratelimit.limiter.plan import Verdict
from tests.limiter.plans import charge, plan


def test_plans_are_values() -> None:
    """Equal steps make equal plans, so a memo may share them."""
    assert plan(charge(), Verdict.NO_LIMIT) == plan(charge(), Verdict.NO_LIMIT)
