from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def at(*moment: int) -> int:
    """A moment in UTC, in unix seconds."""
    return int(datetime(*moment, tzinfo=UTC).timestamp())  # type: ignore[misc]


@pytest.mark.parametrize(
    ("months", "now", "start", "end"),
    [
        (1, at(2024, 2, 29, 23, 59, 59), at(2024, 2, 1), at(2024, 3, 1)),
        (1, at(2023, 2, 1), at(2023, 2, 1), at(2023, 3, 1)),
        (1, at(2026, 12, 31), at(2026, 12, 1), at(2027, 1, 1)),
        (3, at(2026, 11, 27), at(2026, 10, 1), at(2027, 1, 1)),
        (12, at(2026, 11, 27), at(2026, 1, 1), at(2027, 1, 1)),
    ],
)
def test_months_of_the_calendar(months: int, now: int, start: int, end: int) -> None:
    """From the first day of a month to that of another, in UTC; quarters and years begin in January."""
    limit = Limit(1, Unit.MONTH, unit_multiplier=months, calendar=True)
    assert window_of(limit, now) == Window(start, end - start)


@given(st.integers(0, 2**33), st.integers(1, 24))
def test_calendar_windows_tile_time(now: int, months: int) -> None:
    """Each moment is in the window that is told for it, and the next one begins where that ends."""
    limit = Limit(1, Unit.MONTH, unit_multiplier=months, calendar=True)
    window = window_of(limit, now)
    assert window.start <= now < window.start + window.seconds
    assert window_of(limit, window.start + window.seconds).start == window.start + window.seconds
