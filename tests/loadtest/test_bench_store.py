import pytest

from loadtest import bench_store
from loadtest.bench_store import CASES, Case, Cost, measure_all, row
from ratelimit.stores.redis.commands import HITS_PER_COMMAND_MAX


async def test_it_measures_and_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each case: one script for each tick, and a counter takes some memory."""
    monkeypatch.setenv("REQUESTS", "1280")
    monkeypatch.setattr(bench_store, "pinned", lambda _core: [])
    assert await measure_all() == 0
    titles = [case.title for case in CASES]
    rows = [line for line in capsys.readouterr().out.splitlines() if line[:50].strip() in titles]
    assert [line[:50].strip() for line in rows] == titles
    scripts = [float(line[50:].split()[2]) for line in rows]
    # 384 hits of a tick go out in two commands; a group stays whole.
    assert scripts == [
        round(-(-case.calls * case.descriptors // HITS_PER_COMMAND_MAX) / case.calls, 3) for case in CASES
    ]
    assert 50 < float(rows[3].split()[-1]) < 5_000


def test_a_row_tells_what_a_core_could_carry() -> None:
    """The inverse of the CPU time; no CPU time measured is no limit seen."""
    case = Case("some", 1, 1)
    assert row(case, Cost(2, 0.5, 100)).split()[1:] == ["2.00", "500,000", "0.500", "100"]
    assert row(case, Cost(0, 0.5, None)).split()[1:] == ["0.00", "inf", "0.500"]


async def test_a_wrong_number_of_requests_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable."""
    monkeypatch.setenv("REQUESTS", "none")
    with pytest.raises(SystemExit, match="REQUESTS"):
        await measure_all()
