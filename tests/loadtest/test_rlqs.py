import pytest

from loadtest.rlqs import OVER_MAX, USE_MIN, USE_RESTARTED_MIN, Outcome, numbers, outcome, settled


def test_what_is_admitted_is_counted_between_two_moments() -> None:
    """The worst 10 s of them, and the use of the limit."""
    admitted = [0.0] * 50 + [10.0 + 0.1 * each for each in range(200)]
    worst, used = settled(admitted, 10, (10.0, 30.0))
    assert worst == pytest.approx(1.0, abs=0.02)
    assert used == pytest.approx(1.0, abs=0.02)
    assert settled(admitted, 10, (0.0, 30.0))[1] == pytest.approx(250 / 300)


def test_real_envoys_are_held_to_what_is_promised() -> None:
    """Less is asked where something is killed."""
    calm = outcome("2 Envoys", [], 10, (0.0, 20.0))
    assert (calm.worst_max, calm.used_min, calm.passes) == (OVER_MAX, USE_MIN, False)
    assert outcome("2 Envoys, one killed", [], 10, (0.0, 20.0)).used_min == USE_RESTARTED_MIN


@pytest.mark.parametrize(("worst", "used", "passes"), [(1.02, 0.95, True), (1.04, 0.95, False), (1.0, 0.9, False)])
def test_an_outcome_passes_within_its_bounds(worst: float, used: float, passes: bool) -> None:
    """Of both."""
    assert Outcome("", worst, used, 1.03, 0.94).passes is passes


def test_numbers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """None where it is empty."""
    monkeypatch.setenv("ENVOYS", "")
    assert numbers("ENVOYS", "2") == []
    assert numbers("SIMULATED_NOT_SET", "10,100") == [10, 100]
