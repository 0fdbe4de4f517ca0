from ratelimit.limiter.counter_store import AMOUNT_MAX, COUNT_MAX


def test_counts_stay_exact_in_lua() -> None:
    """A full addend added to a saturated count is still below what a double holds without loss."""
    assert float(COUNT_MAX) == COUNT_MAX
    assert AMOUNT_MAX < COUNT_MAX
