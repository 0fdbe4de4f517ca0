from ratelimit.workers.rounds import STEADY_S, WAIT_S_MAX, Rounds

KILLED = "it was ended by SIGKILL"


def test_one_that_served_is_started_again_at_once() -> None:
    """Also again and again, where it lived for a while each time."""
    rounds = Rounds()
    for _ in range(3):
        rounds.serves()
        assert rounds.ended(KILLED, STEADY_S + 1) == (0.0, True)
        assert rounds.serves()
    assert not rounds.serves()


def test_one_that_ends_early_waits_ever_longer() -> None:
    """Never a tight loop, and never for good; a steady life makes up for it."""
    rounds = Rounds()
    rounds.serves()
    waits = [rounds.ended(KILLED, 0.1)[0] for _ in range(12)]
    assert waits[0] == 0
    assert all(0 < wait <= WAIT_S_MAX for wait in waits[1:])
    assert max(waits[1:3]) < min(waits[-3:])
    rounds.serves()
    assert rounds.ended(KILLED, STEADY_S)[0] == 0


def test_one_that_never_served_is_not_started_at_once() -> None:
    """It cannot start, and will not a moment later."""
    assert Rounds().ended("it failed", 0.1)[0] > 0


def test_the_same_end_is_told_once() -> None:
    """As long as it took no calls in between; another reason is news."""
    rounds = Rounds()
    told = [rounds.ended(reason, 0.1)[1] for reason in ("a", "a", "b", "b", "a")]
    assert told == [True, False, True, False, True]
    assert rounds.serves()
    assert rounds.ended("a", 0.1)[1]
