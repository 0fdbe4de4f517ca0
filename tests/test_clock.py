import time

import pytest

from ratelimit.clock import DRIFT, FollowingClock, SteppedClock, SystemClock


def test_the_system_clock_tells_unix_time() -> None:
    """Seconds since the epoch."""
    before = time.time()
    assert before <= SystemClock().now() <= time.time()


def test_the_stepped_clock_moves_only_by_hand() -> None:
    """Forward and back."""
    clock = SteppedClock(100)
    clock.advance(5)
    clock.advance(-10)
    assert clock.now() == 95


class Steady:
    """A steady clock by hand."""

    def __init__(self) -> None:
        self.at = 50.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def steady() -> Steady:
    """At 50 s."""
    return Steady()


@pytest.fixture
def local() -> SteppedClock:
    """At 1,000 s since the epoch."""
    return SteppedClock(1_000)


@pytest.fixture
def following(local: SteppedClock, steady: Steady) -> FollowingClock:
    """One that has heard nothing yet."""
    return FollowingClock(local, steady)


def test_a_following_clock_is_the_local_one_before_it_hears(following: FollowingClock) -> None:
    """There must be a time before the store is there."""
    assert following.now() == 1_000
    assert following.ahead_of_local == 0


def test_a_following_clock_tells_what_it_heard_and_runs_on(following: FollowingClock, steady: Steady) -> None:
    """What was told belongs to the middle between question and answer."""
    following.hear(2_000, 50, 52)
    steady.at = 52
    assert following.now() == 2_001
    assert following.ahead_of_local == 1_001
    steady.at = 62.5
    assert following.now() == 2_011.5


def test_a_step_of_the_local_clock_does_not_reach_it(
    following: FollowingClock, local: SteppedClock, steady: Steady
) -> None:
    """Windows are the store's."""
    following.hear(2_000, 50, 50)
    local.advance(-3_600)
    steady.at = 51
    assert following.now() == 2_001


def test_a_slow_answer_that_agrees_changes_nothing(following: FollowingClock, steady: Steady) -> None:
    """The surest answer is kept."""
    following.hear(2_000, 50, 50.002)
    following.hear(2_010.3, 60, 61)
    steady.at = 61
    assert following.now() == pytest.approx(2_010.999)


def test_a_surer_answer_takes_its_place(following: FollowingClock, steady: Steady) -> None:
    """Although both agree."""
    following.hear(2_000, 50, 51)
    following.hear(2_010.1, 60, 60.002)
    steady.at = 60.002
    assert following.now() == pytest.approx(2_010.101)


def test_an_answer_that_contradicts_takes_its_place(following: FollowingClock, steady: Steady) -> None:
    """The clock there was set, or another server took over."""
    following.hear(2_000, 50, 50.002)
    following.hear(1_900, 60, 60.5)
    steady.at = 60.5
    assert following.now() == pytest.approx(1_900.25)


def test_an_old_answer_loses_its_sureness(following: FollowingClock, steady: Steady) -> None:
    """Steady clocks drift, so a less sure answer is the better one after a while."""
    following.hear(2_000, 50, 50.002)
    later = 50 + 0.1 / DRIFT
    following.hear(2_000 + later - 50 + 0.04, later, later + 0.1)
    steady.at = later + 0.1
    assert following.now() == pytest.approx(2_000 + later - 50 + 0.09)
