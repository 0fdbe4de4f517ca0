import pytest

from ratelimit.descriptors.limit import Unit
from ratelimit.limiter.window import window_start


@pytest.mark.parametrize("unit", list(Unit))
def test_windows_are_aligned_and_tile_time(unit: Unit) -> None:
    """A window begins at a multiple of its length, and holds the second that it was asked for."""
    now = 1_700_000_123
    start = window_start(unit, now)
    assert start % unit.seconds == 0
    assert start <= now < start + unit.seconds
