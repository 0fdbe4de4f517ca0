import pytest

from loadtest.bench_cluster import CASES, measure_all, row
from loadtest.measuring import Sample


def sample(rate: float, cpu_us: float) -> Sample:
    """A measurement."""
    return Sample(rate, cpu_us, 1, 1, 1)


def test_a_row_has_the_best_of_each_and_what_a_cluster_carries() -> None:
    """Rates by rate, CPU times by their inverse: above 1 the Cluster is the faster one by either."""
    single, cluster = [sample(900, 8), sample(1000, 9)], [sample(700, 10), sample(600, 12)]
    assert row(CASES[0], single, cluster).split()[-6:] == ["1,000", "700", "0.70", "8.00", "10.00", "0.80"]


async def test_a_wrong_size_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable, before anything is started."""
    monkeypatch.setenv("ROUNDS", "none")
    with pytest.raises(SystemExit, match="bench-cluster: ROUNDS"):
        await measure_all()
