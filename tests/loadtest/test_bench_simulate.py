from pathlib import Path

import pytest

from loadtest import bench_simulate
from loadtest.bench_simulate import CASES, write_logs


def test_each_case_has_its_log(tmp_path: Path) -> None:
    """And none is written for nothing."""
    write_logs(tmp_path, 100)
    assert {path.name for path in tmp_path.iterdir()} == {case.log for case in CASES}


def test_it_measures_and_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each case: the seconds of its process, and lines by them."""
    monkeypatch.setenv("LINES", "1000")
    monkeypatch.setattr(bench_simulate, "CASES", CASES[:1])
    bench_simulate.main()
    _, head, row, _ = capsys.readouterr().out.splitlines()
    assert head.split() == ["case", "CPU", "s", "lines/s"]
    assert row.startswith(CASES[0].name)
    assert int(row.split()[-1].replace(",", "")) > 0


def test_a_wrong_number_of_lines_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the variable."""
    monkeypatch.setenv("LINES", "many")
    with pytest.raises(SystemExit, match="LINES"):
        bench_simulate.main()
