"""The clock of a store."""

import pytest

from ratelimit.quota.store_clock import StoreClock


def test_the_first_answer_tells_how_far_ahead_it_is() -> None:
    """Until then both are taken to be one."""
    clock = StoreClock()
    assert (clock.known, clock.there(5.0)) == (False, 5.0)
    clock.hear(1005.0, 5.0)
    assert (clock.known, clock.stepped) == (True, False)
    assert (clock.there(6.0), clock.here(1006.0)) == (1006.0, 6.0)


@pytest.mark.parametrize(("there_s", "ahead_s"), [(1010.1, 1000.0), (1009.9, 999.9), (1010.2, 1000.05)])
def test_an_answer_may_have_taken_a_while(there_s: float, ahead_s: float) -> None:
    """Its clock was read at some time since the question, so it is as far ahead as that at most."""
    clock = StoreClock()
    clock.hear(1000.0, 0.0)
    clock.hear(there_s, 10.0)
    assert clock.there(0.0) == pytest.approx(ahead_s)
    assert not clock.stepped


@pytest.mark.parametrize("there_s", [1020.0, 900.0])
def test_a_clock_that_was_set_is_seen(there_s: float) -> None:
    """Forward or back; it is followed."""
    clock = StoreClock()
    clock.hear(1000.0, 0.0)
    clock.hear(there_s, 10.0)
    assert clock.stepped
    assert clock.there(10.0) == pytest.approx(there_s, abs=0.151)
