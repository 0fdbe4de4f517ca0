"""Who has what share."""

from ratelimit.quota.head import Head
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row
from ratelimit.quota.shares import Totals, shares_of, totals_of

ROWS = [
    Row("small", tokens=60, hold=1.0, burst=2, estimate=3.0, denied=2.0, last=8.0),
    Row("large", "replica", tokens=120, hold=4.0, burst=6, estimate=5.0, silent=True, last=9.0),
    Row("none", burst=7, last=99.0),
]
HEAD = Head(spent=[(-1.0, 50.0), (5.0, 2.0)], learn_until_s=11.0)


def test_shares_are_added_up() -> None:
    """The most first, and how far a window may be exceeded."""
    shares = shares_of(ROWS, HEAD, LedgerOptions(10.0), 10.0)
    assert (shares.limit, shares.assigned, shares.hold, shares.demand, shares.refused) == (10.0, 3.0, 5.0, 8.0, 2.0)
    assert (shares.silent, shares.learning, shares.overshoot_bound) == (1, True, 0.1)
    assert [each.envoy for each in shares.envoys] == ["large", "small", "none"]
    assert [each.acknowledged for each in shares.envoys] == [False, True, True]
    assert [each.age_s for each in shares.envoys] == [1.0, 2.0, 0.0]
    assert shares.envoys[0].replica == "replica"


def test_totals_are_those_of_one_replica() -> None:
    """The bound by what it holds of all; nothing of nothing."""
    assert totals_of(ROWS, HEAD, LedgerOptions(10.0), 10.0, "replica") == Totals(2.0, 4.0, 5.0, 0.0, 8.0, 1, 1)
    assert totals_of(ROWS, HEAD, LedgerOptions(10.0), 10.0, "") == Totals(1.0, 1.0, 3.0, 2.0, 2.0, 2, 0)
    assert totals_of([], HEAD, LedgerOptions(10.0), 10.0, "") == Totals()
