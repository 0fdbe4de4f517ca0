"""The head of a ledger."""

import pytest

from ratelimit.quota.head import Head
from ratelimit.quota.options import LedgerOptions


def test_a_head_survives_being_bytes() -> None:
    """With all that was spent."""
    head = Head(1.5, 2.5, 3.5, 4.5, shown=True, spent=[(0.5, 10.0), (1.0, 3.0)])
    assert Head.unpack(head.pack()) == head


@pytest.mark.parametrize("packed", [b"", Head().pack() + b"odd"])
def test_what_is_no_head_is_told(packed: bytes) -> None:
    """Whoever reads the store may find anything."""
    with pytest.raises(ValueError, match="no head"):
        Head.unpack(packed)


def test_tokens_are_forgotten_after_the_window() -> None:
    """Those of one moment are one entry."""
    head = Head()
    head.spend(5, 1.0)
    head.spend(6, 1.1)
    head.spend(7, 4.0)
    assert head.spent == [(1.0, 11), (4.0, 7)]
    assert head.spent_within(10, 10.9) == 18
    assert head.spent_within(10, 11.0) == 7
    assert head.spent_within(10, 20.0) == 0


def test_what_bursts_took_beyond_their_part_is_paid_back() -> None:
    """3 % of a window are theirs; where none has to be given, four fifths of that."""
    head, options = Head(), LedgerOptions(100.0)
    head.spend(20, 1.0)
    assert head.overspent(options, 2.0) == 0
    assert [head.has_room(tokens, options, 2.0) for tokens in (3, 4)] == [True, False]
    head.spend(15, 2.0)
    assert head.overspent(options, 2.0) == pytest.approx(0.5)
