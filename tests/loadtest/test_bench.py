import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.demo.processes import ROOT, config_map, start_service
from loadtest.bench import chosen, knows
from loadtest.cases import CASES


def run_bench(**environ: str) -> subprocess.CompletedProcess[str]:
    """The bench, with that environment."""
    command = [sys.executable, "-m", "loadtest.bench"]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("variable", "value"), [("SECONDS", "many"), ("ROUNDS", "0"), ("CASES", "4x4"), ("EXTRA", "rust")]
)
def test_a_wrong_setting_ends_the_bench_in_one_line(variable: str, value: str) -> None:
    """It names the variable and what is wanted, before anything is started."""
    ended = run_bench(**{variable: value})
    assert (ended.returncode, ended.stderr) == (1, "")
    assert re.fullmatch(rf"bench: {variable}: .* (is wanted|is not one of) .*\n", ended.stdout)


def test_cases_are_chosen_by_name() -> None:
    """In the order that is asked for; all of them without a choice."""
    assert [case.name for case in chosen("over,1x1")] == ["over", "1x1"]
    assert chosen("") == list(CASES)


def test_a_proof_of_somebody_else_is_asked_what_any_can_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows neither limits nor several descriptors."""
    others = [case for case in CASES if not case.own]
    assert all(knows("proof", case) for case in others)
    monkeypatch.setenv("PROOF_CMD", "proof")
    assert [case.name for case in others if not knows("proof", case)] == ["ten", "over"]
    assert all(knows("ours-memory", case) and knows("peer", case) != case.own for case in CASES)


@pytest.mark.integration
async def test_a_small_bench_runs_to_its_report(tmp_path: Path) -> None:
    """Ours and the bare server, two cases, one round."""
    environ = {"CASES": "envoy,over", "ROUNDS": "1", "SECONDS": "1", "REPORT": str(tmp_path)}
    ended = await asyncio.to_thread(run_bench, **environ)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "results.json").read_text())
    assert {(each["case"], each["server"]) for each in found["samples"]} == {
        (case, server) for case in ("envoy", "over") for server in ("ours", "proof")
    }
    assert found["rss_mb"]["ours"] > 0
    assert ended.stdout.endswith(f"the report is in {tmp_path}\n")


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
