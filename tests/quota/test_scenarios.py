"""What the allocator promises, in the world: the short form of `make bench-quota`."""

import pytest

from ratelimit.quota.options import LedgerOptions
from tests.quota.scenarios import SCENARIOS, Outcome, simulate

OPTIONS = LedgerOptions(1_000)
# Worst overshoot of 10 s, and the least use of the limit.
GOALS = {
    "steady": (0.02, 0.99),
    "skewed": (0.02, 0.97),
    "churn": (0.02, 0.96),
    "crash": (0.02, 0.96),
    "flash": (0.05, 0.97),
    "shift": (0.02, 0.86),
    "lossy": (0.02, 0.93),
    "silent death": (0.02, 0.95),
    "cut off": (0.02, 0.95),
    "reset": (0.02, 0.95),
    "restart, lost": (0.02, 0.93),
    "restart, kept": (0.02, 0.95),
}


def never_more_in_force_than_the_limit(outcome: Outcome) -> bool:
    """Of all steps of a run; rates are sums of floats."""
    return outcome.in_force <= 1 + 1e-9


@pytest.mark.parametrize("name", GOALS)
def test_ten_envoys_share_a_limit(name: str) -> None:
    """Nobody could pass more than the limit at any instant, and nearly all of it is used."""
    overshoot, use = GOALS[name]
    outcome = simulate(SCENARIOS[name], 10, OPTIONS)
    assert never_more_in_force_than_the_limit(outcome)
    assert outcome.overshoot <= overshoot
    assert outcome.use >= use
    # Those who are cut off go on with what they have, and those who are there get more.
    assert outcome.jain >= (0.9 if name == "cut off" else 0.97)


def test_a_hundred_envoys_share_a_limit() -> None:
    """With the demand of a few, and a limit of 20/s for each."""
    outcome = simulate(SCENARIOS["skewed"], 100, LedgerOptions(2_000))
    assert never_more_in_force_than_the_limit(outcome)
    assert outcome.overshoot <= 0.02
    assert outcome.use >= 0.95
