import pytest

from loadtest.quota_replicas import rates_of, simulate


def test_demand_is_half_more_than_the_limit() -> None:
    """And differs by 1/k."""
    rates = rates_of(10, 1_000)
    assert sum(rates) == pytest.approx(1_500)
    assert rates[0] == pytest.approx(10 * rates[9])


def test_the_simulation_has_the_same_fleet() -> None:
    """A killed replica costs use, never more than the limit."""
    calm = simulate(4, 400, 30, named=True, kill_at_s=None)
    killed = simulate(4, 400, 30, named=False, kill_at_s=15)
    assert max(calm.in_force, killed.in_force) <= 1 + 1e-9
    assert killed.use < calm.use
