"""How long something may be in force."""

from math import inf

import pytest

from ratelimit.quota.head import Head
from ratelimit.quota.leases import back_by, may_hold, overdue_at, released_at, renew
from ratelimit.quota.options import AckMode, LedgerOptions, Tuning
from ratelimit.quota.row import Row

TUNING = Tuning()


def test_a_lease_ends_with_its_slack() -> None:
    """Unless the stream ended: then whoever lives would have come back at its next report."""
    silent = Row("e", exp=100.0, last=90.0, silent=True)
    assert released_at(silent, [silent], "", TUNING) == 100.5
    silent.gone, silent.back = True, back_by(silent, 92.0, TUNING)
    assert released_at(silent, [silent], "", TUNING) == 95.6
    assert released_at(silent, [silent], "another", TUNING) == 100.5
    assert back_by(silent, 94.6, TUNING) == 100.6  # its report may have been lost with the stream
    assert back_by(silent, 80.0, TUNING) == 95.6


@pytest.mark.parametrize(("ack", "pend", "due_s"), [("ping", inf, 98.0), ("ping", 93.0, 96.0), ("report", 93.0, 98.0)])
def test_who_is_overdue(ack: str, pend: float, due_s: float) -> None:
    """Three seconds after a report was due, or after a question or a push that waits for its PING."""
    options = LedgerOptions(1.0, ack=AckMode(ack))
    assert overdue_at(Row("e", last=90.0, pend=pend), options) == due_s
    assert overdue_at(Row("e", last=90.0, probed=95.0), options) == 100.0


def test_who_may_have_come_back_under_another_name_keeps_its_lease() -> None:
    """While somebody is there who may obey it."""
    gone = Row("e", exp=100.0, last=90.0, silent=True, gone=True)
    assert released_at(gone, [gone, Row("f", unknown=True)], "", TUNING) == 100.5


def test_only_a_row_of_its_size_can_be_what_a_newcomer_obeys() -> None:
    """One that is silent, or of another replica."""
    row, silent, theirs = Row("e"), Row("f", silent=True, hold=5.0), Row("g", "there", hold=9.0)
    assert may_hold([row, silent], row, 5.0, None)
    assert not may_hold([row, silent, theirs], row, 6.0, None)
    assert may_hold([row, silent, theirs], row, 6.0, "here")
    assert not may_hold([row], row, 0.0, "here")


def test_renewed_leases_begin_now() -> None:
    """Whatever the moments were."""
    head = Head(5.0, 6.0, learn_until_s=7.0, spent=[(1.0, 2.0)])
    rows = [Row("e", exp=3.0, last=2.0, pend=2.5), Row("f", exp=900.0, pend=inf)]
    renew(rows, head, 100.0, 12.0)
    assert [(row.exp, row.last, row.pend) for row in rows] == [(112.0, 100.0, 100.0), (112.0, 100.0, inf)]
    assert head == Head(100.0, 100.0, learn_until_s=112.0, spent=[(100.0, 2.0)])
    renew(rows, Head(), 100.0, 12.0)
