from pathlib import Path

import pytest

from tests.exactness.client import FAILED, OK, OVER_LIMIT
from tests.exactness.gate import KEYS, Line, Outcome, Size, run


@pytest.mark.integration
async def test_every_limit_is_admitted_to_the_last_hit(tmp_path: Path) -> None:
    """Three instances with two workers each: admitted = limit, nothing lost, nothing doubled, every key expires."""
    outcome = await run(tmp_path, Size(12_000, 2, "5s"))
    assert outcome.faults() == []
    assert outcome.unknown == 0
    assert sum(line.acknowledged for line in outcome.lines) == 12_000
    assert all(len(line.stored) >= 1 for line in outcome.lines)


def line(*codes: int, stored: int, limit: int = 2) -> Line:
    """A key whose calls came one after the other."""
    made = Line(limit, stored=[stored])
    for moment, code in enumerate(codes):
        made.take((0, moment, moment + 0.5, 1, code, limit - moment - 1 if code == OK else 0))
    return made


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (line(OK, OK, OVER_LIMIT, stored=2), "3 acknowledged, 0 failed, but 2 stored"),
        (line(OK, OK, OVER_LIMIT, stored=4), "3 acknowledged, 0 failed, but 4 stored"),
        (line(OK, OK, OK, stored=3), "3 admitted, where 2 are within the limit"),
        (line(OK, OVER_LIMIT, OVER_LIMIT, stored=3), "1 admitted, where 2 are within the limit"),
        (line(OVER_LIMIT, OK, stored=2, limit=9), "1 admitted, where 2"),
    ],
)
def test_a_broken_bound_is_told(made: Line, fault: str) -> None:
    """Lost, doubled, admitted too often, refused too early."""
    outcome = Outcome([made], 0, [], 1.0)
    assert fault in " ".join(outcome.faults())


def test_unknown_outcomes_bound_what_is_stored_beyond_the_answers() -> None:
    """As many as the metrics say, over all keys together."""
    lines = [line(OK, FAILED, stored=2), line(OK, FAILED, stored=2)]
    assert Outcome(lines, 2, [], 1.0).faults() == []
    (fault,) = Outcome(lines, 1, [], 1.0).faults()
    assert fault == "2 hits are stored and not acknowledged, 1 have an unknown outcome"


def test_a_key_that_stays_is_told() -> None:
    """And the table names every key."""
    outcome = Outcome([line(OK, stored=1)] * KEYS, 0, ["b'k'"], 1.0)
    assert outcome.faults() == ["b'k' has no TTL"]
    assert len(outcome.table()) == KEYS + 3
