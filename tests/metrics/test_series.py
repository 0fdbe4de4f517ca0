from ratelimit.metrics.names import OTHER
from ratelimit.metrics.series import LimitSeries


def test_dynamic_series_are_bounded() -> None:
    """Names that callers choose cannot grow memory: the rest share one series, and no hit is lost."""
    series = LimitSeries(2)
    for number in range(10):
        series.get_dynamic(f"d.k_{number}").total_hits += 1
    assert list(series.all) == ["d.k_0", "d.k_1", OTHER]
    assert series.all[OTHER].total_hits == 8


def test_configured_series_are_never_displaced() -> None:
    """After thousands of names that callers chose, a configured limit still has its own."""
    series = LimitSeries(2)
    for number in range(10):
        series.get_dynamic(f"d.k_{number}")
    own = series.get_configured("d.mine")
    assert own is not series.all[OTHER]
    assert series.get_configured("d.mine") is series.get_dynamic("d.mine") is own


def test_a_name_that_becomes_configured_keeps_its_counts() -> None:
    """A reload may write down what a caller chose before: the same object, so nothing goes backwards."""
    series = LimitSeries(2)
    stats = series.get_dynamic("d.k_v")
    stats.total_hits = 7
    assert series.get_configured("d.k_v") is stats
    assert "d.k_v" not in series.dynamic


def test_thousands_of_reloads_do_not_grow_memory() -> None:
    """Each drops the limits before it; what is left over is bounded."""
    series = LimitSeries(dynamic_max=50)
    for reload in range(2_000):
        series.reloaded(10)
        for number in range(10):
            series.get_configured(f"d.k_{reload}_{number}")
    assert len(series.configured) <= 10 + 50 + 20
    assert f"d.k_{reload}_0" in series.configured


def test_what_is_in_force_never_goes() -> None:
    """Not even with more limits than the bound for left-overs, and not what the configuration before asked for."""
    series = LimitSeries(dynamic_max=1)
    for generation in range(3):
        series.reloaded(100)
        for number in range(100):
            series.get_configured(f"d.{generation}_{number}")
    now = [name for name in series.configured if name.startswith("d.2_")]
    before = [name for name in series.configured if name.startswith("d.1_")]
    assert (len(now), len(before)) == (100, 100)


def test_a_limit_that_is_asked_for_again_outlives_those_that_are_not() -> None:
    """The one that was planned longest ago goes first."""
    series = LimitSeries(dynamic_max=2)
    kept = series.get_configured("d.kept")
    for reload in range(20):
        series.reloaded(1)
        series.get_configured(f"d.{reload}")
        assert series.get_configured("d.kept") is kept
