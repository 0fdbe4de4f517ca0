import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploy.demo.processes import ROOT, Process, start, until

# One child that is known to its caller, one that is still being waited for.
PARENT = """
import asyncio, sys
from pathlib import Path
from deploy.demo.processes import run_to_the_end, start, until
async def never():
    return False
async def main():
    known = await start("known", ["sleep", "600"], Path(sys.argv[1]))
    starting = await start("starting", ["sleep", "600"], Path(sys.argv[1]))
    print(known.process.pid, starting.process.pid, flush=True)
    try:
        await until(starting, never, "ready")
    finally:
        await known.stop()
    return 0
sys.exit(run_to_the_end(main, "demo"))
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_every_child(tmp_path: Path, number: signal.Signals) -> None:
    """A closed terminal too, whose going must not be an error; and a second signal is no shortcut."""
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    program = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    assert program.stdout is not None
    children = [psutil.Process(int(pid)) for pid in (await program.stdout.readline()).split()]
    program.send_signal(number)
    program.send_signal(number)
    output, errors = await program.communicate()
    assert (program.returncode, errors) == (130, b"")
    assert b"everything it started is stopped" in output
    assert not any(child.is_running() for child in children)


async def test_a_program_that_ends_instead_of_starting_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """The name, the exit code, and what it said."""

    async def never() -> bool:
        return False

    program: Process = await start("broken", ["sh", "-c", "echo no config; exit 3"], tmp_path)
    with pytest.raises(Exception, match=r"broken ended with code 3(.|\n)*no config"):
        await until(program, never, "ready")
