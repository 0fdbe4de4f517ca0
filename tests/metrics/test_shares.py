from ratelimit.metrics import OTHER, Metrics, Snapshot
from ratelimit.metrics.increments import Heard, Increments
from ratelimit.metrics.lines import stat_lines
from ratelimit.metrics.mapped import MappedExposition
from ratelimit.metrics.mapper import Mapper
from ratelimit.metrics.prometheus import exposition
from ratelimit.metrics.shares import ShareSeries

ONE = (60, 120, 0, 0, 3, 1, 0)


def test_limits_of_one_name_are_added_up_and_names_are_bounded() -> None:
    """Further ones share one series."""
    series = ShareSeries(2)
    for key in ("d.a", "d.a", "d.b", "d.c", "d.e"):
        series.add(key, ONE)
    assert {name: numbers[0] for name, numbers in series.all.items()} == {"d.a": 120, "d.b": 60, OTHER: 120}


def test_the_readers_show_them() -> None:
    """/stats by series, Prometheus by domain and keys; and nothing where nothing is divided."""
    metrics = Metrics()
    assert "quota_limit" not in b"".join(exposition(metrics.snapshot())).decode()
    metrics.shares.add("d.a.b.c", ONE)
    metrics.shares.add("d.a.b.e", ONE)
    assert "ratelimit.quota.limit.d.a.b.c.held_per_minute: 120\n" in "".join(stat_lines(metrics.snapshot()))
    mapped = b"".join(MappedExposition(Mapper(), "")(metrics.snapshot())).decode()
    assert "ratelimit_quota_limit_d_a_b_c_envoys 1.0\n" in mapped
    text = b"".join(exposition(metrics.snapshot())).decode()
    assert 'ratelimit_quota_limit_assigned_per_minute{domain="d",key1="a",key2="b"} 120.0\n' in text


def test_several_processes_are_one() -> None:
    """What each has now is added up, and goes with the process."""
    worker, supervisor = Metrics(), Metrics()
    increments, heard = Increments(worker), Heard(supervisor)

    def tell() -> list[int]:
        for piece in increments.pieces():
            heard.add(piece)
        return supervisor.shares.all.get("d.a", [])

    worker.shares.add("d.a", ONE)
    assert tell() == list(ONE)
    worker.shares.add("d.a", [-60, 0, 0, 0, 0, 0, 0])
    assert tell() == [0, *ONE[1:]] == tell()
    heard.gone()
    assert supervisor.shares.all["d.a"] == [0] * 7
    assert Snapshot().shares == {}
