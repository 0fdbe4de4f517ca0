"""`make reference-suite`: the integration tests of envoyproxy/ratelimit against our server, or another one.

    REFERENCE_SOURCE=   a checkout of it; else it is looked for in the Go module cache
    RATELIMIT_COMMAND=  the server that is tested; empty is ours
    RUN=                a pattern of tests, as `go test -run` takes it

Needs Go, redis-server with TLS, redis-cli, memcached and openssl. The source is copied to a temporary folder, where
runner.go takes the place of the package that starts its server; nothing of it stays. The ports are those that the
tests have; they must be free.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.differential.peer import source
from tests.reference_suite.servers import certificate, environment, lacking, running

HERE = Path(__file__).parent
TIMEOUT = "25m"


def main() -> int:
    """Run the tests; 0 where all of them passed."""
    missing = lacking()
    if missing:
        raise SystemExit(f"not here: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="reference-suite-") as scratch:
        folder = Path(scratch)
        copied(source(), folder / "source")
        certificate(folder)
        command = os.environ.get("RATELIMIT_COMMAND") or f"{sys.executable} -m ratelimit"
        with running(folder):
            return tell(tested(folder, command))


def copied(origin: Path, folder: Path) -> None:
    """The source, with our package in the place of its runner."""
    shutil.copytree(origin, folder, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns(".git"))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    package = folder / "src/service_cmd/runner"
    shutil.rmtree(package)
    package.mkdir()
    shutil.copyfile(HERE / "runner.go", package / "runner.go")


def tested(folder: Path, command: str) -> dict[str, str]:
    """Run the tests, their output as it comes; what became of each: pass, fail or skip."""
    arguments = ["go", "test", "-json", "-tags=integration", "-count=1", f"-timeout={TIMEOUT}"]
    pattern = os.environ.get("RUN")
    arguments += [f"-run={pattern}"] if pattern else []
    surroundings = {**environment(folder, command), "PYTHONPATH": str(HERE.parents[1])}
    ends: dict[str, str] = {}
    process = subprocess.Popen(
        [*arguments, "./test/integration"],
        cwd=folder / "source",
        env=surroundings,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            event = json.loads(line) if line.startswith("{") else {"Action": "output", "Output": line}
            if event["Action"] in ("pass", "fail", "skip"):
                ends[event.get("Test", "")] = event["Action"]
            elif event["Action"] in ("output", "build-output"):
                sys.stdout.write(event["Output"])
        if process.wait():
            ends.setdefault("", "fail")
    finally:
        # Tests that panic leave their own servers behind.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return ends


def tell(ends: dict[str, str]) -> int:
    """A line for each test, and the sum."""
    whole = ends.pop("", "pass")
    for name, end in sorted(ends.items()):
        sys.stdout.write(f"{end:5} {name}\n")
    passed = sum(end == "pass" for end in ends.values())
    sys.stdout.write(f"{passed} of {len(ends)} passed\n")
    return int(whole != "pass" or passed != len(ends))


if __name__ == "__main__":
    sys.exit(main())
