from ratelimit.stores.redis.in_flight import FIRST, FREE_AFTER_S, GROWTH, LEAST, SHRINK, InFlight
from tests.limiter.plans import hit

TIMEOUT_S, SOON_S, LATE_S = 0.01, 0.001, 0.009
START = 100.0
MANY = [hit(b"k")] * 1000


def limited() -> InFlight:
    """One that has begun to limit."""
    in_flight = InFlight(TIMEOUT_S)
    in_flight.limit(START)
    return in_flight


def test_it_begins_without_a_limit() -> None:
    """Nothing is limited that has not failed."""
    assert not InFlight(TIMEOUT_S).limited
    assert limited().limited


def test_what_is_beyond_is_refused() -> None:
    """There is room again for what was answered, less where that was late."""
    in_flight = limited()
    assert [in_flight.take(MANY, START) for _ in range(2)] == [FIRST, 0]
    in_flight.answered(FIRST, START, START + LATE_S)
    assert in_flight.take(MANY, START) == FIRST * SHRINK


def test_it_doubles_until_an_answer_is_late() -> None:
    """Then it grows by a twentieth, and all late answers of one round shrink it once."""
    in_flight = limited()
    for most in (FIRST, 2 * FIRST):
        assert in_flight.take(MANY, START) == most
        in_flight.answered(most, START, START + SOON_S)
    most = 4 * FIRST
    assert in_flight.most == in_flight.take(MANY, START) == most
    in_flight.answered(1, START, START + LATE_S)
    in_flight.answered(1, START, START + LATE_S)
    assert in_flight.most == most * SHRINK
    in_flight.answered(1, START + LATE_S, START + LATE_S + SOON_S)
    assert in_flight.most == most * SHRINK + GROWTH


def test_who_leaves_room_learns_nothing() -> None:
    """Neither a quick answer nor a late one changes what may be on its way."""
    in_flight = limited()
    for took_s in (SOON_S, LATE_S):
        assert in_flight.take(MANY[: FIRST // 4], START) == FIRST // 4
        in_flight.answered(FIRST // 4, START, START + took_s)
    assert in_flight.most == FIRST


def test_some_always_may() -> None:
    """However slow the server is: fewer would be no request of many descriptors at all."""
    in_flight = limited()
    for turn in range(9):
        moment = START + turn
        fit = in_flight.take(MANY, moment)
        assert fit >= LEAST
        in_flight.answered(fit, moment, moment + LATE_S)
    assert in_flight.most == LEAST


def test_it_ends_when_nothing_was_refused_for_long() -> None:
    """A refusal begins the time anew."""
    in_flight = limited()
    later = START + FREE_AFTER_S / 2
    assert in_flight.take(MANY, later) == FIRST
    in_flight.answered(FIRST, later, START + FREE_AFTER_S)
    assert in_flight.limited
    in_flight.answered(0, later, later + FREE_AFTER_S)
    assert not in_flight.limited


def test_groups_are_whole() -> None:
    """One that does not fit waits for none: it is refused, but for one that is larger than all room."""
    three, other = [hit(b"k", group=7)] * 3, [hit(b"k", group=8)] * 3
    in_flight = limited()
    in_flight.most = 5.0
    assert in_flight.take([*three, *other], START) == 3
    assert in_flight.take(other, START) == 0
    in_flight.answered(3, START, START + SOON_S)
    in_flight.most = 2.0
    assert in_flight.take([*three, *other], START) == 3
