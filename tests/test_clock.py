import time

from ratelimit.clock import SteppedClock, SystemClock


def test_the_system_clock_tells_unix_time() -> None:
    """Seconds since the epoch."""
    before = time.time()
    assert before <= SystemClock().now() <= time.time()


def test_the_stepped_clock_moves_only_by_hand() -> None:
    """Forward and back."""
    clock = SteppedClock(100)
    clock.advance(5)
    clock.advance(-10)
    assert clock.now() == 95
