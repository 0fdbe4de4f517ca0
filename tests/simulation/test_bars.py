import pytest

from ratelimit.simulation.bars import Frame, columns, duration, frame_of, sparkline


def test_buckets_become_columns() -> None:
    """Side by side where there are too many, and empty where there was nothing."""
    series = [[100, 1, 0], [110, 2, 1], [150, 4, 0]]
    frame = frame_of(series, 10, 10)
    assert (frame, frame.end) == (Frame(100, 10, 6), 160)
    assert columns(series, frame) == [(100, 1, 0), (110, 2, 1), (120, 0, 0), (130, 0, 0), (140, 0, 0), (150, 4, 0)]
    assert frame_of(series, 10, 4) == Frame(100, 20, 3)
    assert columns(series, frame_of(series, 10, 4)) == [(100, 3, 1), (120, 0, 0), (140, 4, 0)]


def test_nothing_has_a_column_too() -> None:
    """No request at all."""
    assert columns([], frame_of([], 1, 10)) == [(0, 0, 0)]


def test_a_line_of_bars() -> None:
    """The highest is full, whatever is above 0 is seen, and where there are no blocks there are letters."""
    assert sparkline([0, 1, 50, 100], 100) == " ▁▄█"
    assert sparkline([0, 1, 50, 100], 100, ascii_only=True) == " .=@"
    assert sparkline([0, 0], 0) == "  "


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "a second"), (45, "45 seconds"), (60, "a minute"), (7_200, "2 hours"), (3_600, "an hour"), (86_400, "a day")],
)
def test_durations(seconds: int, text: str) -> None:
    """In the largest unit that is whole."""
    assert duration(seconds) == text
