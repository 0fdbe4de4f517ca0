import re
from pathlib import Path

import pytest

from deploy.demo.processes import free_port
from loadtest.answers import LoadFailedError
from loadtest.bench_faults import Call, Client, Phase, main, phases


def calls(*statuses: int) -> list[Call]:
    """Calls a tenth of a second after each other, each answered in 2 ms."""
    return [Call(10 + number / 10, 0.002, status) for number, status in enumerate(statuses)]


def test_calls_are_cut_into_phases() -> None:
    """By the moment that each was due."""
    before, after = phases(calls(0, 0, 14, 0), ("before", 10), ("after", 10.15), ("", 10.4))
    assert [call.status for call in before.calls] == [0, 0]
    assert before.name == "before"
    assert after.ok_rate == pytest.approx(4)
    assert str(after).split() == ["after", "8", "4", "4", "2.00", "2.00", "2.00", "2.00"]


def test_normal_is_when_nearly_all_are_counted() -> None:
    """In a quarter of a second; a few errors later are not part of it."""
    assert Phase("", calls(14, 0, 0, 0, 0, 0, 14), 0.7).normal_after() == 0.25
    assert Phase("", calls(0), 0.1).normal_after() == 0
    assert Phase("", calls(14), 0.1).normal_after() == float("inf")


async def test_nobody_there_is_told(tmp_path: Path) -> None:
    """A load that cannot begin fails with the client's words."""
    with pytest.raises(LoadFailedError, match="refused"):
        await Client(tmp_path, free_port()).load("constant", 100, 1)


@pytest.mark.integration
async def test_a_short_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The store is stopped and comes again, the link is too narrow, and the tables tell of each phase."""
    for name, value in {"BEFORE_S": 0.3, "AFTER_S": 2.0, "STEP_S": 0.3, "OVERLOAD_S": 0.5, "STEP_FIRST": 4000}.items():
        monkeypatch.setattr(f"loadtest.bench_faults.{name}", value)
    monkeypatch.setenv("RATE", "500")
    monkeypatch.setenv("STOPPED_S", "1")
    monkeypatch.setenv("LINK_BYTES", "200000")
    assert await main() in {0, 1}  # how fast is another question
    told = capsys.readouterr().out
    for phase in ("before", "stopped", "after", "at 4,000 a second", "three times the most", "half of the most"):
        assert f"\n{phase} " in told
    assert "reached  the breaker opened and closed" in told
    assert re.search(r"statuses while stopped: .*14: \d+", told)
