from collections.abc import Sequence

import structlog

from ratelimit.stores.refusals import REFUSAL_OVER_S, REFUSALS_LOGGED_MAX, Refusals
from tests.limiter.plans import hit


def told(logs: Sequence[dict[str, object]]) -> list[object]:
    """The reasons of the lines, in order."""
    return [each["reason"] for each in logs]


def test_a_reason_is_told_once_and_when_it_is_over() -> None:
    """However often it is heard; it is over when it was not heard for a while, and a look does not show that."""
    refusals = Refusals()
    with structlog.testing.capture_logs() as logs:
        refusals.note("OOM", 1.0)
        refusals.note("OOM", 2.0)
        refusals.note_counted([hit(b"k")], 2.0 + REFUSAL_OVER_S / 2)
        refusals.note_counted([hit(b"k", 0)], 2.0 + REFUSAL_OVER_S)
        assert refusals
        refusals.note_counted([hit(b"k")], 2.0 + REFUSAL_OVER_S)
    assert told(logs) == ["OOM", "OOM"]
    assert not refusals


def test_reasons_are_bounded() -> None:
    """A server that invents words fills neither the log nor the memory."""
    refusals = Refusals()
    with structlog.testing.capture_logs() as logs:
        for number in range(REFUSALS_LOGGED_MAX + 5):
            refusals.note(f"word {number}", 0.0)
    assert len(logs) == REFUSALS_LOGGED_MAX
    refusals.clear()
    assert not refusals
