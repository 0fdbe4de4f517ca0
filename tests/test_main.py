import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from ratelimit import __main__ as module
from ratelimit.__main__ import main

ROOT = Path(__file__).parents[1]


def test_check_needs_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    """`ratelimit check config` reads the shipped files."""
    assert main(["check", str(ROOT / "config")]) == 0
    assert "catalog-ratelimit: 4 limits" in capsys.readouterr().out


def test_check_with_options(capsys: pytest.CaptureFixture[str]) -> None:
    """`ratelimit check PATH --envoy PATH`, with a format, a level and rules left out; no rule of another name."""
    words = ["check", str(ROOT / "config" / "catalog.yaml"), "--envoy", str(ROOT / "deploy" / "istio")]
    assert main([*words, "--format", "json", "--fail-on", "warning", "--ignore", "zero-requests"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
    with pytest.raises(SystemExit):
        main([*words, "--ignore", "no-such-rule"])


def test_a_request_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """`ratelimit explain DIR DOMAIN k=v`, with options behind it."""
    words = ["explain", str(ROOT / "config"), "catalog-ratelimit", "header_match=gold_request"]
    assert main([*words, "--key-format", "reference", "--prefix", "p:", "--now", "60", "--format", "json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["descriptors"]
    assert answer["counter"]["key"] == "p:catalog-ratelimit_header_match_gold_request_60"


def test_a_log_is_replayed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`ratelimit simulate DIR LOG`, with options behind it."""
    (tmp_path / "log").write_text("".join(f'{{"at": {second}, "tier": "gold"}}\n' for second in range(12)))
    words = ["simulate", str(ROOT / "config"), str(tmp_path / "log"), "--domain", "catalog-ratelimit", "--time", "at"]
    assert main([*words, "--descriptor", "header_match=%tier%_request", "--format", "json", "--reorder", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["denied"] == 2


def test_settings_are_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`ratelimit settings`, as text and as JSON; exit code 1 where it could not start."""
    monkeypatch.setenv("PORT", "0x1F90")
    monkeypatch.setenv("REDIS_AUTH", "s3cret")
    monkeypatch.setenv("BACKEND_TYPE", "memory")
    assert main(["settings"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^PORT +8080 +environment$", text, re.MULTILINE)
    assert "s3cret" not in text
    assert main(["settings", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["hints"] == []
    monkeypatch.setenv("PORT", "x")
    assert main(["settings"]) == 1
    assert capsys.readouterr().out == "PORT: a whole number is wanted (is 'x')\n"


def test_a_deployment_is_checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`ratelimit migrate-check FILE --config DIR`."""
    given = tmp_path / "deployment.env"
    given.write_text("BACKEND_TYPE=memory\n")
    assert main(["migrate-check", str(given), "--config", str(ROOT / "config")]) == 0
    assert "COUNTER_KEY_FORMAT=reference" in capsys.readouterr().out


def test_the_version_needs_no_settings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`ratelimit --version` is that of the installed package, whatever the environment says."""
    monkeypatch.setenv("GRPC_PORT", "http")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ratelimit {metadata.version('envoy-ratelimit')}\n"
    monkeypatch.setattr(module, "PACKAGE", "nobody-has-this")
    assert main(["--version"]) == 0
    assert "not installed" in capsys.readouterr().out


def test_a_redis_url_that_can_never_work_ends_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and not shown: it may hold a password."""
    monkeypatch.setenv("REDIS_SOCKET_TYPE", "tcp")
    monkeypatch.setenv("REDIS_URL", "redis://user:s3cret/@:6379")
    assert main([]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ratelimit: REDIS_URL: ")
    assert "s3cret" not in error


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


def test_the_soft_limit_of_open_files_is_raised_at_the_start(tmp_path: Path) -> None:
    """To the hard one, and at LOG_LEVEL=info it is told."""
    environ = {"RUNTIME_ROOT": str(tmp_path), "RUNTIME_WATCH_ROOT": "false", "LOG_LEVEL": "info"}
    command = f"ulimit -S -n 64; ulimit -H -n 512; exec {sys.executable} -m ratelimit"
    ended = subprocess.run(
        ["bash", "-c", command], env=environ, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert "limit=512 before=64" in ended.stderr.replace("before=64 limit=512", "limit=512 before=64")
