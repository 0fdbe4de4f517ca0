"""The copy of a shared ledger."""

from math import inf

from ratelimit.quota.head import Head
from ratelimit.quota.ledger_copy import LedgerCopy
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.row import Row


def copied() -> LedgerCopy:
    """One with two Envoys, of which something was decided."""
    copy = LedgerCopy(LedgerOptions(100.0), replica="here")
    for envoy in ("a", "b"):
        copy.report(envoy, 1, 0, 0, 10.0)
    copy.advance(10.0)
    return copy


def test_what_the_store_has_takes_the_place_of_what_was_decided() -> None:
    """Rows that others changed, or deleted; nothing of it is sent, and it is planned anew."""
    copy, row = copied(), Row("a", "there", tokens=600, burst=2, hold=10.0, last=10.0, seq=7)
    copy.restore({"a": row, "b": None}, Head(at=10.0))
    assert copy.rows == {"a": row}
    assert (copy.changed, copy.collect()) == (set(), [])
    assert copy.next_tick_s == -inf
    copy.advance(10.1)
    assert copy.rows["a"].rate > 10


def test_a_report_that_was_answered_when_it_came_asks_for_a_plan_only() -> None:
    """It is reckoned at once, and nothing is to be sent for it."""
    copy = copied()
    for push in copy.collect():
        copy.acked(push.envoy, push.seq, 10.1)
    copy.changed.clear()
    assert copy.take_report("a", 50, 0, 5, 15.0) is copy.rows["a"].renewal
    assert (copy.rows["a"].last, copy.rows["a"].exp, copy.changed) == (15.0, 15.0 + copy.lease_s, {"a"})
    assert copy.next_tick_s <= 15.0 + copy.options.tuning.plan_every_s
    assert copy.take_report("a", 0, 0, 5, 20.0) is not None
    assert copy.rows["a"].zero == 1


def test_ends_that_were_seen_here_may_be_over_elsewhere() -> None:
    """Their leases are waited for; whoever is asked for is told what holds."""
    copy = copied()
    (_, push) = copy.collect()
    copy.acked("b", push.seq, 10.1)
    copy.closed("a", 11.0)
    assert copy.rows["a"].back < inf
    copy.distrust_ends()
    assert copy.rows["a"].back == inf
    copy.answer("b")
    copy.advance(11.0)
    assert [push.envoy for push in copy.collect()] == ["b"]
