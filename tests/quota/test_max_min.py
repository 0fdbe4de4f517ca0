"""Max-min fairness."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.quota.max_min import max_min

amounts = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("wants", "weights", "capacity", "shares"),
    [
        ([1, 2, 3], [1, 1, 1], 10, [1, 2, 3]),
        ([1, 9, 9], [1, 1, 1], 9, [1, 4, 4]),
        ([9, 9], [1, 2], 9, [3, 6]),
        ([1, 9], [2, 1], 9, [1, 8]),
        ([5], [1], -3, [0]),
        ([], [], 5, []),
    ],
)
def test_shares(wants: list[float], weights: list[float], capacity: float, shares: list[float]) -> None:
    """Who wants little gets it, the others as much as each other for their weights."""
    assert max_min(wants, weights, capacity) == pytest.approx(shares)


@given(st.lists(st.tuples(amounts, st.floats(0.01, 100)), min_size=1), amounts)
def test_no_share_is_more_than_wanted_and_all_fit(envoys: list[tuple[float, float]], capacity: float) -> None:
    """Whatever is wanted; and nothing is left while somebody lacks."""
    wants, weights = [want for want, _ in envoys], [weight for _, weight in envoys]
    shares = max_min(wants, weights, capacity)
    assert all(0 <= share <= want + 1e-6 for share, want in zip(shares, wants, strict=True))
    assert sum(shares) <= capacity * (1 + 1e-9) + 1e-6
    assert sum(shares) == pytest.approx(min(capacity, sum(wants)), rel=1e-6, abs=1e-6)
