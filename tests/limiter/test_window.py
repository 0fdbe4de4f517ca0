import pytest

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.limiter.window import Window, window_of


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize("multiplier", [1, 3])
def test_windows_are_aligned_and_tile_time(unit: Unit, multiplier: int) -> None:
    """A window begins at a multiple of its length, and holds the second that it was asked for."""
    now = 1_700_000_123
    window = window_of(Limit(1, unit, unit_multiplier=multiplier), now)
    assert window.seconds == unit.seconds * multiplier
    assert window.start % window.seconds == 0
    assert window.start <= now < window.start + window.seconds


def test_a_window_ends() -> None:
    """At once at the earliest, and after the whole of it at the latest, also where the clock stepped back."""
    assert [Window(120, 60).reset_s(now) for now in (120, 179, 60)] == [60, 1, 60]
