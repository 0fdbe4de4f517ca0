import pytest

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.errors import StoreError
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.tick import Tick
from ratelimit.simulation.exact_lane import ExactLane, SetClock, Submission
from tests.limiter.plans import charge, plan


def test_requests_one_by_one() -> None:
    """Each at its moment, by the limiter and the memory store."""
    lane, submission = ExactLane(OverLimitCache(0)), Submission(plan(charge(2), charge(1, counter=b"o:")))
    allowed = [[each.allowed for each in lane.count(submission, ms)] for ms in (0, 1, 2, 60_000)]
    assert allowed == [[True, True], [True, False], [False, False], [True, True]]


def test_all_or_none() -> None:
    """A group is charged together: what one limit denies is charged to no other."""
    lane, submission = ExactLane(OverLimitCache(0)), Submission(plan(charge(5), charge(1, counter=b"o:"), together=1))
    assert [[each.count for each in lane.count(submission, 0)] for _ in range(3)] == [[1, 1]] * 3


def test_the_over_limit_cache_knows() -> None:
    """What is over is not counted any more: the count stands still."""
    lane, submission = ExactLane(OverLimitCache(10_000)), Submission(plan(charge(1)))
    results = [lane.count(submission, ms)[0] for ms in range(5)]
    assert [each.allowed for each in results] == [True, False, False, False, False]
    look = Submission(plan(charge(100, amount=0)))
    assert lane.count(look, 6)[0].count == 2


def test_milliseconds_reach_the_algorithm() -> None:
    """One a second by GCRA: the next is admitted a second after the one before, to the millisecond."""
    lane = ExactLane(OverLimitCache(0))
    submission = Submission(plan(charge(of=Limit(1, Unit.SECOND, algorithm="gcra"))))
    moments = (1_767_225_600_001, 1_767_225_601_000, 1_767_225_601_001)
    assert [lane.count(submission, ms)[0].allowed for ms in moments] == [True, False, True]


def test_the_clock_tells_its_millisecond() -> None:
    """No rounding of a double leads out of it."""
    clock = SetClock()
    for clock.ms in range(1_767_225_600_000, 1_767_225_603_000):
        assert int(clock.now() * 1000) == clock.ms


def test_what_cannot_be() -> None:
    """There is no deadline, no queue and no fault in a replay: it would be one of ours."""
    lane = ExactLane(OverLimitCache(0))
    with pytest.raises(AssertionError, match="no deadline"):
        lane.expired([lane], 0.0)
    with pytest.raises(AssertionError, match="nothing waits"):
        lane.refused(Tick(0, 0.0), StoreError("full"))
    with pytest.raises(AssertionError, match="what cannot fail"):
        lane.broken([lane], ValueError("x"), 0.0)
