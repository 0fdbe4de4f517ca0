import random

from ratelimit.simulation.order import ROUND_MIN, InOrder
from ratelimit.simulation.replay import Row


def rows(*moments: int) -> list[Row]:
    """Rows that ask nothing."""
    return [(ms, ()) for ms in moments]


def moments(found: list[Row]) -> list[int]:
    """When rows are."""
    return [ms for ms, _ in found]


def test_lines_that_end_late_are_put_in_order() -> None:
    """Each within the slack of those before it: all are handed on in order, once, and none is late."""
    rng = random.Random(3)
    began = sorted(rng.randrange(10**6) for _ in range(50_000))
    written = sorted(began, key=lambda ms: ms + rng.randrange(900))
    order, found = InOrder(1_000), list[int]()
    for start in range(0, len(written), 777):
        found += moments(order.add(rows(*written[start : start + 777])))
    found += moments(order.rest())
    assert found == began
    assert (order.late, order.first_ms, order.last_ms) == (0, began[0], began[-1])


def test_a_line_that_is_later_still() -> None:
    """Counts at the moment that was reached: a clock does not go back."""
    order = InOrder(10)
    order.add(rows(*range(100, 100 + ROUND_MIN)))
    reached = order.last_ms
    assert reached == 100 + ROUND_MIN - 1 - 10
    assert order.add(rows(5, 7, 100 + ROUND_MIN - 11)) == []
    found = moments(order.rest())
    assert found[:3] == [reached, reached, reached]
    assert found == sorted(found)
    assert order.late == 2


def test_as_many_are_held_as_may_be() -> None:
    """What is more is handed on before its time, in order."""
    order = InOrder(10**9, rows_max=100)
    found = order.add(rows(*range(ROUND_MIN)))
    assert moments(found) == list(range(ROUND_MIN - 100))
    assert len(order.rest()) == 100


def test_without_slack() -> None:
    """Rows of one moment keep their order, and nothing is held that no row can precede."""
    order = InOrder(0)
    first, second = ("a",), ("b",)
    order.add([(7, first), (7, second)] * ROUND_MIN)  # type: ignore[list-item]
    assert order.rest() == []
    assert order.last_ms == 7
