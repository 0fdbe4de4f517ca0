import subprocess
import sys
from pathlib import Path

import pytest

from ratelimit.__main__ import main

ROOT = Path(__file__).parents[1]


def test_check_needs_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """`ratelimit check config` reads the shipped files."""
    assert main(["check", str(ROOT / "config")]) == 0
    assert "catalog-ratelimit: 4 limits" in capsys.readouterr().out


def test_a_wrong_variable_ends_the_start(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1, and a line for each."""
    monkeypatch.setenv("GRPC_PORT", "http")
    monkeypatch.setenv("REDIS_TIMEOUT", "10")
    assert main([]) == 1
    assert [line.split(":")[1].strip() for line in capsys.readouterr().err.splitlines()] == [
        "GRPC_PORT",
        "REDIS_TIMEOUT",
    ]


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    """A missing configuration directory, without a traceback."""
    environ = {"RUNTIME_ROOT": str(tmp_path), "RUNTIME_WATCH_ROOT": "false", "REDIS_TIMOUT": "1s"}
    ended = subprocess.run(
        [sys.executable, "-m", "ratelimit"],
        env=environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "did you mean REDIS_TIMEOUT" in ended.stderr
    assert "cannot serve" in ended.stderr
    assert "Traceback" not in ended.stderr
