"""`make bench-rlqs`: BUCKETS (1,000) limits divided over ENVOYS (100), and ShouldRateLimit beside that on one worker.

The service is on core 0; the Envoys (quota_client.py), the store and the client of ShouldRateLimit on core 1. Once each
Envoy was told of all its buckets, and all reports of some seconds were answered in time, SECONDS (30) of reports are
measured by themselves: how long each waits until the last of its buckets is answered, and what the service takes of its
core and of memory. Then ROUNDS (5) of REQUESTS (200,000) calls of 4x32 are sent beside that, and as many before there
are Envoys and after they are gone: how fast a machine is varies from minute to minute. BACKENDS (memory,redis) says
where the ledgers are.
"""

import asyncio
import dataclasses
import json
import os
import statistics
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.demo.processes import config_map, run_to_the_end
from loadtest.answers import LoadFailedError
from loadtest.cases import CASES
from loadtest.measuring import Sample, measure
from loadtest.quota_client import DOMAIN, KEY, REPORT_S, Lap, QuotaLoad
from loadtest.request_frames import CONFIG
from loadtest.servers import (
    CLIENT_CORE,
    OURS,
    OURS_COMMAND,
    OURS_ENVIRON,
    OWN_FOLDER,
    Program,
    Server,
    pinned,
    start_server,
    start_store,
)
from loadtest.sizes import number_of

LIMIT_PER_S = 2_000
ANSWER_MS, CPU_PART, RSS_MB, RATE_PART = 200.0, 0.5, 300.0, 0.7
BACKENDS = ("memory", "redis")
CASE = next(case for case in CASES if case.name == "4x32")
# Until the demands are known each plan changes much; a slow machine takes longer for that, which is told.
SETTLE_S, SETTLE_S_MAX = 25.0, 150.0
# When Envoys have ended, all that they were told is over after this.
GONE_S = 15.0


@dataclass(frozen=True, slots=True)
class Found:
    """What one backend came to."""

    lap: Lap
    cpu_part: float
    rss_mb: float
    alone: list[Sample]
    beside: list[Sample]
    lap_beside: Lap
    settled_s: float


def quota_config(envoys: int) -> str:
    """A limit for each value of a bucket's entry."""
    limit = f"rate_limit: {{unit: second, requests_per_unit: {LIMIT_PER_S}}}"
    assignment = f"quota_assignment: {{expected_envoys: {envoys}}}"
    return f"domain: {DOMAIN}\ndescriptors:\n  - {{key: {KEY}, {limit}, {assignment}}}\n"


def rows(found: Found) -> list[tuple[str, str, str, bool]]:
    """What was measured, what was found and what is asked, and whether it is enough."""
    alone, beside = (statistics.median(each.rate for each in side) for side in (found.alone, found.beside))
    busy = statistics.median(each.server_busy for each in found.beside)
    lap, near = found.lap, found.lap_beside
    return [
        ("in time from then on, after", f"{found.settled_s:.0f} s", "", True),
        (f"report answered, of {lap.reports}: max", f"{lap.max_ms:.0f} ms", f"≤ {ANSWER_MS:.0f} ms", in_time(lap)),
        ("  p50, p99", f"{lap.p50_ms:.0f}, {lap.p99_ms:.0f} ms", "", True),
        ("service's CPU", f"{found.cpu_part:.2f} cores", f"≤ {CPU_PART} cores", found.cpu_part <= CPU_PART),
        ("service's memory", f"{found.rss_mb:.0f} MB", f"≤ {RSS_MB:.0f} MB", found.rss_mb <= RSS_MB),
        ("ShouldRateLimit alone", f"{alone:,.0f}/s", "", True),
        (f"  beside ({busy:.2f} cores busy)", f"{beside:,.0f}/s", "", True),
        ("  beside : alone", f"{beside / alone:.2f}", f"≥ {RATE_PART}", beside / alone >= RATE_PART),
        (f"  report answered, of {near.reports}: max", f"{near.max_ms:.0f} ms", "", True),
        ("  p50, p99", f"{near.p50_ms:.0f}, {near.p99_ms:.0f} ms", "", True),
        ("Envoys' CPU (quota_client)", f"{lap.client_busy:.2f} cores", "", True),
    ]


def lines(backend: str, found: Found) -> list[str]:
    """The rows of one backend, as they are printed."""
    return [
        f"{backend:<8}{what:<44}{is_:>14}  {asked:<12}{'' if good else 'MISSED'}"
        for what, is_, asked, good in rows(found)
    ]


def in_time(lap: Lap) -> bool:
    """Whether every report was answered, and soon enough."""
    return lap.reports > 0 and lap.late == 0 and lap.max_ms <= ANSWER_MS


def passes(found: Found) -> bool:
    """Whether all that is asked is reached."""
    return all(good for *_, good in rows(found))


class Envoys:
    """The running quota_client."""

    def __init__(self, process: Process) -> None:
        self._process: Any = process  # with pipes

    async def lap(self) -> Lap:
        """What was found since the last call. Raises LoadFailedError."""
        with suppress(BrokenPipeError, ConnectionResetError):  # then it says why
            self._process.stdin.write(b"\n")
            await self._process.stdin.drain()
        return Lap(**await self.said())

    async def settled(self) -> float:
        """Wait until all reports are answered in time, or for so long as is waited at most; how long that took."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await asyncio.sleep(SETTLE_S)
        await self.lap()
        while (took_s := loop.time() - began_s) < SETTLE_S_MAX:
            await asyncio.sleep(2 * REPORT_S)
            if in_time(await self.lap()):
                break
        return took_s

    async def ready(self) -> None:
        """Wait until all were told of all their buckets. Raises LoadFailedError."""
        await self.said()

    async def said(self) -> dict[str, Any]:
        """Its next line. Raises LoadFailedError."""
        line = await self._process.stdout.readline()
        found = {} if line == b"ready\n" else json.loads(line or b'{"failed": "the Envoys died"}')
        if "failed" in found:
            raise LoadFailedError(found["failed"])
        return dict(found)


@asynccontextmanager
async def envoys_on(load: QuotaLoad) -> AsyncIterator[Envoys]:
    """All Envoys, reporting; they end with the context."""
    arguments = json.dumps(dataclasses.asdict(load))
    # They give way to the client of ShouldRateLimit: while one of them makes its report the service would have nothing
    # else to do, and what it could do beside them is what is asked.
    command = ["nice", "-n", "19", *pinned(CLIENT_CORE), sys.executable, "-m", "loadtest.quota_client", arguments]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        envoys = Envoys(process)
        await envoys.ready()
        yield envoys
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def calls(server: Server, rounds: int, requests: int) -> list[Sample]:
    """So many rounds of ShouldRateLimit, after one that warms up."""
    await measure(CASE, server, requests // 4)
    return [await measure(CASE, server, requests) for _ in range(rounds)]


async def measure_backend(backend: str, load: QuotaLoad, seconds: int, rounds: int, requests: int) -> Found:
    """One service with the ledgers in one place. Raises LoadFailedError."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = config_map(folder / OWN_FOLDER, CONFIG) / "config"
        (target / "quota.yaml").write_text(quota_config(load.envoys))
        store = await start_store(stack, folder)
        server = await start_server(
            stack, Program(OURS, OURS_COMMAND, {**OURS_ENVIRON, "BACKEND_TYPE": backend}), folder, store
        )
        alone = await calls(server, rounds, requests)
        async with envoys_on(dataclasses.replace(load, port=server.port)) as envoys:
            settled_s = await envoys.settled()
            before_s = server.cpu_s()
            began_s = asyncio.get_running_loop().time()
            await asyncio.sleep(seconds)
            took_s, cpu_s = asyncio.get_running_loop().time() - began_s, server.cpu_s() - before_s
            lap, rss_mb = await envoys.lap(), server.rss_mb()
            beside = await calls(server, rounds, requests)
            lap_beside = await envoys.lap()
        await asyncio.sleep(GONE_S)
        alone += await calls(server, rounds, requests)
        return Found(lap, cpu_s / took_s, rss_mb, alone, beside, lap_beside, settled_s)


def backends_of(text: str) -> list[str]:
    """Where the ledgers shall be. Raises ValueError."""
    backends = text.split(",")
    if unknown := set(backends) - set(BACKENDS):
        raise ValueError(f"BACKENDS: {', '.join(sorted(unknown))} is not one of {', '.join(BACKENDS)}")
    return backends


async def main() -> int:
    """Measure all, print; 1 where something that is asked is missed."""
    try:
        load = QuotaLoad(0, number_of("BUCKETS", 1_000, 1), number_of("ENVOYS", 100, 1), LIMIT_PER_S)
        sizes = number_of("SECONDS", 30, 5), number_of("ROUNDS", 5, 1), number_of("REQUESTS", 200_000, 1_000)
        backends = backends_of(os.environ.get("BACKENDS", ",".join(BACKENDS)))
    except ValueError as error:
        sys.exit(f"bench-rlqs: {error}")
    failed = 0
    print(f"{load.buckets:,} buckets x {load.envoys:,} Envoys", flush=True)
    for backend in backends:
        found = await measure_backend(backend, load, *sizes)
        print("\n".join(lines(backend, found)), flush=True)
        failed += not passes(found)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "bench-rlqs"))
