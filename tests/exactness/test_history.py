import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.exactness.history import Operation, faults


def at_once(*counts: int) -> list[Operation]:
    """Operations that all overlap."""
    return [Operation(0.0, 1.0, count) for count in counts]


@given(st.lists(st.tuples(st.integers(1, 5), st.floats(0, 3), st.floats(0, 3)), max_size=40), st.randoms())
def test_a_counter_has_a_good_history(hits: list[tuple[int, float, float]], chance: random.Random) -> None:
    """Whatever the amounts and however long the ways there and back, in whatever order they are listed."""
    count, operations = 0, []
    for moment, (amount, there_s, back_s) in enumerate(hits):
        count += amount
        operations.append(Operation(moment - there_s, moment + back_s, count, amount))
    chance.shuffle(operations)
    assert faults(operations) == []


@pytest.mark.parametrize(
    ("operations", "fault"),
    [
        (at_once(1, 2, 2, 3), "overlaps"),
        (at_once(1, 3), "1 counts were given to nobody"),
        (at_once(2), "1 counts were given to nobody"),
        (at_once(0), "overlaps"),
        ([Operation(0, 9, 3, 3), Operation(0, 9, 4, 2)], "overlaps"),
        ([Operation(5, 6, 1), Operation(1, 2, 2)], "before an operation with a lower one"),
        ([Operation(0, 9, 1), Operation(5, 6, 2), Operation(7, 8, 3), Operation(1, 4, 4)], "the count 4 was told"),
    ],
)
def test_a_bad_history_is_told(operations: list[Operation], fault: str) -> None:
    """A count twice, a count left out, one that came too early."""
    found = faults(operations)
    assert len(found) == 1
    assert fault in found[0]


def test_unknown_outcomes_fill_gaps() -> None:
    """As many as there are, and no more."""
    assert faults(at_once(2, 5), unknown=3) == []
    assert len(faults(at_once(2, 5), unknown=2)) == 1
