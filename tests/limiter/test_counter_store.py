from ratelimit.limiter.counter_store import AMOUNT_MAX, COUNT_MAX, Hit


def test_counts_stay_exact_in_lua() -> None:
    """A full addend added to a saturated count is still below what a double holds without loss."""
    assert float(COUNT_MAX) == COUNT_MAX
    assert AMOUNT_MAX < COUNT_MAX


def test_a_hit_is_key_amount_and_expiry() -> None:
    """What a store is given for each counter."""
    assert Hit(b"k", 2, 60) == Hit(key=b"k", amount=2, expire_s=60)
