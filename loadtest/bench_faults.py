"""`make bench-faults`: what callers see while the store is stopped, and while it is asked for more than it can do.

The service runs as it comes, in a process of its own, and is called by the clock whatever it answers (open loop).

- Stopped: RATE (5,000) calls a second; the store gets SIGSTOP, STOPPED_S (5) seconds later SIGCONT.
- Overload: the way to the store carries LINK_BYTES (600,000) a second, every call has a counter of its own. First the
  most that comes through is looked for, then three times as much is asked, and half of it at last.

Exit 1 where a target is missed. The machine must have room for client, store and service.
"""

import asyncio
import dataclasses
import itertools
import json
import math
import signal
import sys
import tempfile
import time
from array import array
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.demo.processes import LOOPBACK, Instance, Process, config_map, run_to_the_end, start_service, start_valkey
from loadtest.answers import LoadFailedError
from loadtest.loop_lag import percentile
from loadtest.measuring import output_of
from loadtest.narrow_link import narrow_link
from loadtest.raw_client import Load
from loadtest.request_frames import CONFIG
from loadtest.servers import CLIENT_CORE, pinned
from loadtest.sizes import number_of

CONNECTIONS, STREAMS = 8, 250
LATE_MS_MAX = 15.0  # REDIS_TIMEOUT is 10 ms
BACK_S_MAX = 1.0
GROWTH_MB_MAX = 10.0
SLOT_S, NORMAL_PART = 0.25, 0.99
PEAK_PART, CALM_S_MAX = 0.9, 5.0
BEFORE_S, AFTER_S = 2.0, 4.0
STEP_S, OVERLOAD_S = 1.5, 6.0
STEP_FIRST, STEP_FACTOR = 2000, 1.4
RATE_LEAST = 100
HEADER = f"{'':<22}{'calls/s':>9}{'OK/s':>9}{'failed/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'p99.9':>9}{'most':>9}"


@dataclass(frozen=True, slots=True)
class Call:
    """When it was due, how long its answer took from then on (seconds), and its grpc-status."""

    due: float
    took: float
    status: int


@dataclass(frozen=True, slots=True)
class Phase:
    """The calls that were due in a stretch of time."""

    name: str
    calls: Sequence[Call]
    seconds: float

    @property
    def ok_rate(self) -> float:
        """Calls that were counted, a second."""
        return sum(call.status == 0 for call in self.calls) / self.seconds

    def latency_ms(self, part: float) -> float:
        """A percentile of all answers."""
        return percentile(sorted(call.took * 1000 for call in self.calls), part)

    def normal_after(self) -> float:
        """Seconds until the first quarter of a second in which NORMAL_PART of the calls were counted; inf for none."""
        began = self.calls[0].due
        slots: dict[int, list[bool]] = {}
        for call in self.calls:
            slots.setdefault(int((call.due - began) / SLOT_S), []).append(call.status == 0)
        good = (slot * SLOT_S for slot, counted in slots.items() if sum(counted) >= NORMAL_PART * len(counted))
        return min(good, default=math.inf)

    def __str__(self) -> str:
        rate = len(self.calls) / self.seconds
        latencies = "".join(f"{self.latency_ms(part):>9.2f}" for part in (0.5, 0.99, 0.999, 1.0))
        return f"{self.name:<22}{rate:>9,.0f}{self.ok_rate:>9,.0f}{rate - self.ok_rate:>9,.0f}{latencies}"


def phases(calls: Sequence[Call], *moments: tuple[str, float]) -> list[Phase]:
    """Cut calls at moments; each names what begins there, the last one what ends."""
    cuts = itertools.pairwise(moments)
    return [
        Phase(name, [call for call in calls if begin <= call.due < end], end - begin)
        for (name, begin), (_, end) in cuts
    ]


class Client:
    """Loads from a process of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self._file, self._port = folder / "calls", port

    async def load(self, kind: str, rate: int, seconds: float) -> asyncio.Task[list[Call]]:
        """Begin; the task has the calls. Raises LoadFailedError."""
        load = Load(self._port, kind, int(rate * seconds), CONNECTIONS, STREAMS, rate, code=None)
        command = [sys.executable, "-m", "loadtest.fault_client", str(self._file), json.dumps(dataclasses.asdict(load))]
        process = await asyncio.create_subprocess_exec(*pinned(CLIENT_CORE), *command, stdin=PIPE, stdout=PIPE)
        said = await process.stdout.readline()  # type: ignore[union-attr]
        if said != b"ready\n":
            await process.wait()
            raise LoadFailedError(said.decode() or "the client died")
        process.stdin.write(b"\n")  # type: ignore[union-attr]
        return asyncio.create_task(self._calls(process))

    async def run(self, kind: str, rate: int, seconds: float) -> list[Call]:
        """Load to the end."""
        return await (await self.load(kind, rate, seconds))

    async def _calls(self, process: asyncio.subprocess.Process) -> list[Call]:
        output = await output_of(process)
        if process.returncode:
            raise LoadFailedError(output.decode() or "the client died")
        rows = array("d", self._file.read_bytes())
        found = zip(rows[::3], rows[1::3], rows[2::3], strict=True)
        return sorted((Call(due, took, int(status)) for due, took, status in found), key=lambda call: call.due)


async def most_memory(pid: int) -> float:
    """The most resident memory in MB that a process has until this is cancelled."""
    process, most = psutil.Process(pid), 0.0
    try:
        while True:
            most = max(most, process.memory_info().rss / 1e6)
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return most


async def stopped(client: Client, instance: Instance, store: Process, rate: int, seconds: float) -> list[str]:
    """Stop the store under load; what was missed."""
    pid = instance.program.process.pid
    load = await client.load("constant", rate, BEFORE_S + seconds + AFTER_S)
    began = time.perf_counter()
    await asyncio.sleep(BEFORE_S)
    before_mb = psutil.Process(pid).memory_info().rss / 1e6
    watching = asyncio.create_task(most_memory(pid))
    stop_at = time.perf_counter()
    store.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        store.process.send_signal(signal.SIGCONT)
    again_at = time.perf_counter()
    calls = await load
    watching.cancel()
    most_mb = await watching
    found = phases(calls, ("before", began), ("stopped", stop_at), ("after", again_at), ("", calls[-1].due))
    log = instance.program.log.read_text()
    opened, closed = log.count("breaker is open"), log.count("breaker is closed")
    back_s = found[2].normal_after()
    print("\n".join([HEADER, *map(str, found)]))
    print(f"statuses while stopped: {dict(Counter(call.status for call in found[1].calls))}")
    print(f"normal {back_s:.2f} s after SIGCONT; breaker opened {opened}, closed {closed} times")
    print(f"memory {before_mb:.1f} MB before, {most_mb:.1f} MB at most", flush=True)
    return missed(
        (f"p99.9 while stopped ≤ {LATE_MS_MAX:g} ms", found[1].latency_ms(0.999) <= LATE_MS_MAX),
        (f"normal within {BACK_S_MAX:g} s of SIGCONT", back_s <= BACK_S_MAX),
        ("the breaker opened and closed", min(opened, closed) > 0),
        (f"memory grew by less than {GROWTH_MB_MAX:g} MB", most_mb - before_mb < GROWTH_MB_MAX),
    )


async def overload(client: Client) -> list[str]:
    """Ask for more than comes through; what was missed."""
    print(f"\n{HEADER}")
    peak, rate, beyond = 0.0, STEP_FIRST, 0
    while beyond < 2:  # once more when it is too much: the first time begins with an open breaker
        step = whole(f"at {rate:,} a second", await client.run("unique", rate, STEP_S))
        print(step, flush=True)
        peak = max(peak, step.ok_rate)
        if step.ok_rate < rate / STEP_FACTOR:
            beyond += 1
        else:
            rate = int(rate * STEP_FACTOR)
    much = whole("three times the most", await client.run("unique", max(RATE_LEAST, int(3 * peak)), OVERLOAD_S))
    print(much, flush=True)
    calm = whole("half of the most", await client.run("unique", max(RATE_LEAST, int(peak / 2)), OVERLOAD_S))
    print(calm, flush=True)
    calm_s = calm.normal_after()
    print(f"{much.ok_rate / peak:.0%} of the most comes through under three times as much; normal after {calm_s:.2f} s")
    return missed(
        (f"≥ {PEAK_PART:.0%} of the most under three times as much", much.ok_rate >= PEAK_PART * peak),
        (f"normal within {CALM_S_MAX:g} s", calm_s < CALM_S_MAX),
    )


def whole(name: str, calls: Sequence[Call]) -> Phase:
    """All calls of a load as one phase."""
    return Phase(name, calls, calls[-1].due - calls[0].due)


def missed(*targets: tuple[str, bool]) -> list[str]:
    """Print what came of targets; those that were missed."""
    for text, good in targets:
        print(f"{'reached' if good else 'MISSED '}  {text}", flush=True)
    return [text for text, good in targets if not good]


async def main() -> int:
    """Both faults, each with a service of its own."""
    rate, stopped_s = number_of("RATE", 5000, 100), number_of("STOPPED_S", 5, 1)
    link_bytes = number_of("LINK_BYTES", 600_000, 100_000)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-faults-")))
        environ = {
            "RUNTIME_ROOT": str(config_map(folder, CONFIG)),
            "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "LOG_LEVEL": "warn",
            "DRAIN_DELAY": "0",
        }
        store, port = await start_valkey(folder)
        stack.push_async_callback(store.stop)
        instance = await start_service("stopped", folder, {**environ, "REDIS_URL": f"{LOOPBACK}:{port}"})
        stack.push_async_callback(instance.program.stop)
        bad = await stopped(Client(folder, instance.grpc_port), instance, store, rate, stopped_s)
        link = await stack.enter_async_context(narrow_link(port, link_bytes))
        instance = await start_service("overload", folder, {**environ, "REDIS_URL": f"{LOOPBACK}:{link}"})
        stack.push_async_callback(instance.program.stop)
        bad += await overload(Client(folder, instance.grpc_port))
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "bench-faults"))
