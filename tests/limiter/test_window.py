import pytest

from ratelimit.descriptors.limit import Unit
from ratelimit.limiter.window import seconds_until_reset, window_start


@pytest.mark.parametrize("unit", list(Unit))
def test_windows_are_aligned_and_tile_time(unit: Unit) -> None:
    """A window begins at a multiple of its length, and the next begins when it resets."""
    now = 1_700_000_123
    start = window_start(unit, now)
    assert start % unit.seconds == 0
    assert start <= now < start + unit.seconds
    assert now + seconds_until_reset(unit, now) == start + unit.seconds


def test_reset_at_the_first_second_is_the_whole_unit() -> None:
    """As the reference: never 0, and the whole unit when the window has just begun."""
    assert seconds_until_reset(Unit.MINUTE, 600) == 60
    assert seconds_until_reset(Unit.MINUTE, 659) == 1
