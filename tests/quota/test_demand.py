"""The estimator."""

import pytest

from ratelimit.quota.demand import duration, observe
from ratelimit.quota.options import Tuning
from ratelimit.quota.row import Row

TUNING = Tuning()


def known(estimate: float, rate: float) -> Row:
    """A row whose demand is known, with a rate for 5 s."""
    return Row("e", estimate=estimate, gain=0.1, fresh=False, offered=5 * rate)


@pytest.mark.parametrize(
    ("elapsed_s", "since_last_s", "took_s"),
    [(5, 5.4, 5.4), (5, 5.0, 5.0), (5, 4.2, 5), (5, 15.3, 6), (0, 0.7, 0.7), (0, 0.1, 0.5), (0, 9.0, 1)],
)
def test_an_interval_is_told_in_whole_seconds(elapsed_s: int, since_last_s: float, took_s: float) -> None:
    """Our clock says more within that second; what is beyond it was in reports that were lost."""
    assert duration(elapsed_s, since_last_s) == took_s


def test_the_first_report_is_the_estimate() -> None:
    """There is nothing else to go by."""
    row = Row("e", offered=500)
    observe(row, 40, 10, 5, TUNING)
    assert row.estimate == 10
    assert not row.fresh


def test_noise_is_averaged_over_ever_longer() -> None:
    """What fits the estimate moves it little, and less each time."""
    row = known(10, 20)
    gains = []
    for count in (53, 48, 51, 50, 49) * 8:
        observe(row, count, 0, 5, TUNING)
        gains.append(row.gain)
    assert row.estimate == pytest.approx(10, abs=0.3)
    assert gains == sorted(gains, reverse=True)
    assert gains[-1] == TUNING.gain_min


def test_a_drift_is_followed() -> None:
    """Small differences, all to the same side."""
    row = known(10, 100)
    for count in (62, 64, 66, 68):
        observe(row, count, 0, 5, TUNING)
    assert row.estimate > 12


def test_a_rise_inside_the_interval_is_seen_whole() -> None:
    """Served whole before it, the rate after it: 10/s for 2.5 s, then 100/s of which 20/s pass."""
    row = known(10, 20)
    observe(row, 25 + 50, 200, 5, TUNING)
    assert row.estimate == pytest.approx(100)


def test_a_rise_that_is_hard_to_place_is_taken_to_be_in_the_middle() -> None:
    """Where estimate and rate are too near each other to tell."""
    row = known(10, 11)
    observe(row, 53, 100, 5, TUNING)
    assert row.estimate == pytest.approx(11 + 20 / 0.5)


def test_a_fall_inside_the_interval_is_seen_whole() -> None:
    """Refused a part before it, nothing after it: 40/s of which 20/s pass for 2.5 s, then 4/s."""
    row = known(40, 20)
    observe(row, 50 + 10, 50, 5, TUNING)
    assert row.estimate == pytest.approx(4)


def test_a_step_that_nothing_was_refused_of_is_what_was_seen() -> None:
    """Within the rate before and after."""
    row = known(10, 100)
    observe(row, 300, 0, 5, TUNING)
    assert row.estimate == 60


@pytest.mark.parametrize(("denied", "hungry"), [(2, False), (4, False), (10, True)])
def test_who_refuses_more_than_a_little_is_hungry(denied: int, hungry: bool) -> None:
    """More than two, and more than a twentieth."""
    row = known(20, 20)
    observe(row, 100 - denied, denied, 5, TUNING)
    assert row.hungry is hungry
    assert row.denied == denied / 5


def test_idle_reports_are_counted() -> None:
    """Until one is not idle."""
    row = known(0, 1)
    observe(row, 0, 0, 5, TUNING)
    observe(row, 0, 0, 5, TUNING)
    assert row.zero == 2
    observe(row, 1, 0, 5, TUNING)
    assert row.zero == 0
