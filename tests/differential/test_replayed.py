from pathlib import Path

import pytest

from loadtest.access_log import Traffic
from tests.differential.replayed import disagreements, disagreements_of_log

SEEDS = range(0, 96, 8)


@pytest.mark.parametrize("first", SEEDS)
def test_a_replay_says_what_the_service_does(first: int) -> None:
    """Random configurations, settings, requests and moments: what is denied, by which limit; and both lanes agree."""
    for seed in range(first, first + 8):
        asked, found = disagreements(seed)
        assert asked
        assert found == []


def test_a_log_comes_to_what_the_service_counts(tmp_path: Path) -> None:
    """From the file to the report: requests, and those over, of each limit (`make replayed` asks a million)."""
    denied, found = disagreements_of_log(tmp_path, Traffic(4_000, per_second=20, users=300))
    assert found == []
    assert 400 < denied < 3_600
