import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.limiter.tally import tally, tally_known
from tests.limiter.plans import charge, limit


@pytest.mark.parametrize(
    ("after", "amount", "near", "over", "within"),
    [
        (8, 1, 0, 0, 1),
        (9, 1, 1, 0, 1),
        (10, 4, 2, 0, 4),
        (12, 4, 2, 2, 0),
        (12, 8, 2, 2, 0),
        (20, 4, 0, 4, 0),
        (13, 4, 1, 3, 0),
        (5, 0, 0, 0, 0),
        (15, 0, 0, 0, 0),
    ],
)
def test_crossing_a_threshold_counts_what_is_beyond(after: int, amount: int, near: int, over: int, within: int) -> None:
    """near_limit and over_limit take only the hits beyond 8 and 10."""
    one = charge(10, amount=amount)
    tally(one, after - amount, after)
    stats = one.stats
    assert (stats.near_limit, stats.over_limit, stats.within_limit, stats.total_hits) == (near, over, within, amount)


@given(st.integers(0, 30), st.integers(1, 7), st.integers(1, 12), st.integers(0, 25), st.booleans())
def test_a_run_adds_up_to_its_hits(before: int, amount: int, hits: int, most: int, shadow: bool) -> None:
    """What a run of equal hits adds at once is what they add one by one."""
    rule = limit(most, shadow_mode=shadow)
    at_once, one_by_one = charge(of=rule, amount=amount), charge(of=rule, amount=amount)
    tally(at_once, before, before + hits * amount)
    for number in range(hits):
        tally(one_by_one, before + number * amount, before + (number + 1) * amount)
    assert at_once.stats == one_by_one.stats


def test_shadow_mode_tells_what_would_have_been_denied() -> None:
    """The hits beyond the limit count as shadow_mode too."""
    shadow = charge(of=limit(1, shadow_mode=True), amount=3)
    tally(shadow, 1, 4)
    assert (shadow.stats.over_limit, shadow.stats.shadow_mode) == (3, 3)


def test_a_refund_is_no_hit() -> None:
    """It counts as total_negative_hits, and nothing else."""
    refund = charge(3, amount=-2)
    tally(refund, 3, 1)
    assert (refund.stats.total_hits, refund.stats.within_limit, refund.stats.total_negative_hits) == (0, 0, 2)


def test_what_the_over_limit_cache_denied_is_told_apart() -> None:
    """It is over_limit, and over_limit_with_local_cache; in shadow mode that too."""
    known = charge(of=limit(3, shadow_mode=True), amount=2)
    tally_known(known)
    stats = known.stats
    assert (stats.total_hits, stats.over_limit, stats.over_limit_with_local_cache, stats.shadow_mode) == (2, 2, 2, 2)
