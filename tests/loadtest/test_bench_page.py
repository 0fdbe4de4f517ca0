import pytest

from loadtest.bench_page import config, measure_all, part, row
from loadtest.measuring import Sample
from ratelimit.descriptors.loader import ConfigFile, load_config


def sample(cpu_us: float) -> Sample:
    """A measurement."""
    return Sample(50_000, cpu_us, 1, 1, 0.5)


def test_the_page_takes_what_the_cpu_time_differs_by() -> None:
    """As a part of one core at the rate that was asked for; a row has its median and quartiles."""
    pairs = [(sample(5.0), sample(cpu_us)) for cpu_us in (5.1, 5.2, 5.3)]
    assert part(*pairs[0]) == pytest.approx(0.005)
    assert row("constant", pairs).split() == ["constant", "50,000", "5.00", "5.20", "1.00%", "(0.75%", "to", "1.25%)"]
    assert row("constant", pairs[:1]).endswith("0.50% (0.50% to 0.50%)")


def test_there_are_as_many_limits_as_are_asked_for() -> None:
    """Beside those of the load."""
    few, more = (load_config([ConfigFile("f", config(limits).encode())]).limits for limits in (0, 100))
    assert more == few + 100


async def test_a_wrong_size_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable, before anything is started."""
    monkeypatch.setenv("RATE", "none")
    with pytest.raises(SystemExit, match="bench-page: RATE"):
        await measure_all()
