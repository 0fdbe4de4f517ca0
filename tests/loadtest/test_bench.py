import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo.processes import ROOT, config_map, start_service
from loadtest.bench import framed, parse_h2load, table


def test_h2load_s_answer_is_read() -> None:
    """The rate, and only where every request succeeded."""
    text = "finished in 1.50s, 4000.50 req/s, 1MB/s\nrequests: 10 total, 10 started, 10 done, 10 succeeded, 0 failed"
    assert parse_h2load(text, 10) == 4000.5
    with pytest.raises(ValueError, match="did not get 11 answers"):
        parse_h2load(text, 11)


def test_the_table_has_medians_and_ratios() -> None:
    """The first server of a shape is 1."""
    rows = table({("1x1", "a"): [1, 3, 2], ("1x1", "b"): [4], ("4x4", "b"): [9]}).splitlines()
    assert [row.split() for row in rows[1:]] == [
        ["1x1", "a", "2", "1.00"],
        ["1x1", "b", "4", "2.00"],
        ["4x4", "b", "9", "1.00"],
    ]


def test_messages_have_grpc_s_prefix() -> None:
    """A flag, and the length in four bytes."""
    assert framed(b"abc") == b"\0\0\0\0\3abc"


@pytest.mark.parametrize(
    ("variable", "value"),
    [("REQUESTS", "many"), ("REQUESTS", "255"), ("ROUNDS", "0"), ("ROUNDS", ""), ("ROUNDS", "9" * 5000)],
)
def test_a_wrong_number_ends_the_bench_in_one_line(variable: str, value: str) -> None:
    """It names the variable and what is wanted, before anything is started."""
    command, environ = [sys.executable, "-m", "loadtest.bench"], {**os.environ, variable: value}
    ended = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert re.fullmatch(rf"bench: {variable}: a whole number from \d+ on is wanted \(is .*\)\n", ended.stdout)


@pytest.mark.integration
async def test_locust_drives_the_service(tmp_path: Path) -> None:
    """The locust file runs against a real instance without a failure."""
    root = config_map(tmp_path, (ROOT / "config" / "catalog.yaml").read_text())
    environ = {
        "RUNTIME_ROOT": str(root),
        "RUNTIME_IGNOREDOTFILES": "true",
        "BACKEND_TYPE": "memory",
        "DRAIN_DELAY": "0",
    }
    instance = await start_service("service", tmp_path, {**environ, "BACKEND_TYPE": "memory"})
    where = ["--host", f"127.0.0.1:{instance.grpc_port}", "-f", str(ROOT / "loadtest" / "locustfile.py")]
    command = [sys.executable, "-m", "locust", *where, "--headless", "-u", "2", "-r", "2", "-t", "2s", "--only-summary"]
    ended = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False)
    await instance.program.stop()
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"Aggregated\s+\d+\s+0\(0.00%\)", ended.stderr + ended.stdout)
