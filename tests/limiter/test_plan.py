from ratelimit.descriptors.limit import Unit
from ratelimit.limiter.plan import Charge, Verdict
from tests.limiter.plans import charge, limit, plan


def test_charges_are_the_steps_that_are_counted() -> None:
    """In their order, without the verdicts."""
    first, second = charge(1), charge(2)
    assert plan(first, Verdict.NO_LIMIT, second).charges == (first, second)


def test_a_key_lasts_as_long_as_its_window() -> None:
    """Within a window the key stays the same object; the next one has another name and the jitter of its own."""
    minute = charge(of=limit(1, Unit.MINUTE))
    minute.turn(600, 5)
    first = minute.key
    minute.turn(659, 7)
    assert minute.key is first
    assert (first.name, first.expire_s) == (b"c:600", 65)
    minute.turn(660, 7)
    assert (minute.key.name, minute.key.expire_s, minute.turned_at) == (b"c:660", 67, 660)


def test_a_clock_that_steps_back_turns_back() -> None:
    """The window follows the clock in both directions."""
    minute: Charge = charge(of=limit(1, Unit.MINUTE))
    minute.turn(660, 0)
    minute.turn(659, 0)
    assert minute.key.name == b"c:600"
