import pytest

from tests.differential.replayed import disagreements

SEEDS = range(0, 96, 8)


@pytest.mark.parametrize("first", SEEDS)
def test_a_replay_says_what_the_service_does(first: int) -> None:
    """Random configurations, settings, requests and moments: what is denied, by which limit; and both lanes agree."""
    for seed in range(first, first + 8):
        asked, found = disagreements(seed)
        assert asked
        assert found == []
