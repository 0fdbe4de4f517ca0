import os

import pytest

from tests.exactness.fault_runs import Told, broken, fault_runs
from tests.exactness.history import Operation

RUNS = 50  # on each of the two loops


async def test_the_bounds_hold_in_every_fault_run(valkey_port: int) -> None:
    """Whatever a network does: nothing acknowledged is lost, nothing is counted twice, no limit is passed."""
    given = os.environ.get("RATELIMIT_FAULT_SEED")
    seeds = [int(given)] if given else range(RUNS)
    totals, found = await fault_runs(seeds, valkey_port)
    assert found == [], "RATELIMIT_FAULT_SEED= repeats the run of a seed"
    assert totals["runs"] == len(seeds)
    assert totals["acknowledged"] > 0
    assert given or totals["unknown"] > 0


@pytest.mark.parametrize(
    ("told", "stored", "fault"),
    [
        (Told(acknowledged=1, admitted=1, operations=[Operation(0, 1, 1)]), 2, "but 2 stored"),
        (Told(acknowledged=1, admitted=1, operations=[Operation(0, 1, 1)]), 0, "but 0 stored"),
        (Told(acknowledged=9, admitted=9, operations=[Operation(0, 1, 9, 9)]), 9, "the limit is 5"),
        (Told(acknowledged=1, unknown=0, operations=[Operation(0, 1, 2)]), 1, "given to nobody"),
    ],
)
def test_a_bound_that_is_broken_is_told(told: Told, stored: int, fault: str) -> None:
    """Doubled, lost, admitted over the limit, a count that nobody was given."""
    assert [fault in each for each in broken(told, stored, 5)] == [True]
    assert broken(Told(3, 2, 3, [Operation(0, 1, 3, 3)]), 5, 5) == []
