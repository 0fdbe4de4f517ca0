"""`make bench-soak`: MINUTES (10) of unique values and connections that come and go, and what they leave behind.

Every value is asked for once, so nothing that the service remembers is of use again. Connections live for a few hundred
calls; one in ten bundles of them ends with its calls open. Memory, file descriptors and tasks of the service are looked
at before, on the way and after; the lag of its event loop is that of the whole time. Exit 1 where something is missed.
"""

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis.asyncio

from deploy.demo.processes import LOOPBACK, Instance, config_map, run_to_the_end, start_service
from loadtest.probed import held_file
from loadtest.raw_client import Connection, Load, close, connect, run
from loadtest.request_frames import CONFIG
from loadtest.servers import CLIENT_CORE, SERVER_CORE, pinned, start_store
from loadtest.sizes import number_of

BUNDLE = Load(0, "unique", requests=2000, connections=8, streams=32)
RUDE_PART = 0.1
# The store would hold every value for an hour; it is not what is measured.
FLUSH_EVERY = 100 * BUNDLE.requests
LOOK_EVERY_S = 20.0
SETTLE_S = 20.0
IDLE_MB_MAX, RSS_MB_MAX, GROWTH_MB_MAX = 90, 120, 5
# Of the blocks that Python has allocated: memory may grow by the gaps between them, their number only by what is kept.
BLOCKS_GROWTH_MAX = 0.01


@dataclass(frozen=True, slots=True)
class Look:
    """The service at one moment."""

    at_s: float
    requests: int
    rss_mb: float
    files: int
    tasks: int
    blocks: int

    def __str__(self) -> str:
        return (
            f"{self.at_s:6.0f} s  {self.requests:>11,} requests  {self.rss_mb:6.1f} MB  "
            f"{self.files:>4} files  {self.tasks:>4} tasks  {self.blocks:>9,} blocks"
        )


class Soak:
    """The service under load, and every look at it."""

    def __init__(self, instance: Instance, lags: Path, store: redis.asyncio.Redis) -> None:
        self._process = psutil.Process(instance.program.process.pid)
        self._load = Load(instance.grpc_port, BUNDLE.kind, BUNDLE.requests, BUNDLE.connections, BUNDLE.streams)
        self._held, self._store = held_file(lags), store
        self._started = time.monotonic()
        self.requests = self.bundles = self.rude = 0
        self.looks: list[Look] = []

    async def look(self) -> Look:
        """Look, remember and print."""
        (tasks, blocks), rss_mb = await self._count_held(), self._process.memory_info().rss / 1e6
        at_s = time.monotonic() - self._started
        look = Look(at_s, self.requests, rss_mb, self._process.num_fds(), tasks, blocks)
        self.looks.append(look)
        print(look, flush=True)
        return look

    async def run(self, seconds: float) -> None:
        """Load for so long, looking from time to time. Raises LoadFailedError where a call failed."""
        end, next_look = time.monotonic() + seconds, time.monotonic() + LOOK_EVERY_S
        while time.monotonic() < end:
            await asyncio.to_thread(self._bundle)
            if self.requests // FLUSH_EVERY > (self.requests - BUNDLE.requests) // FLUSH_EVERY:
                await self._store.flushall(asynchronous=True)
            if time.monotonic() > next_look:
                next_look += LOOK_EVERY_S
                await self.look()

    async def settle(self, before: Look) -> Look:
        """Wait until files and tasks are no more than before, or long enough; the last look."""
        end = time.monotonic() + SETTLE_S
        while self._process.num_fds() > before.files or (await self._count_held())[0] > before.tasks:
            if time.monotonic() > end:
                break
            await asyncio.sleep(0.1)
        return await self.look()

    async def _count_held(self) -> tuple[int, int]:
        """The tasks and the blocks of memory that the service holds."""
        self._held.unlink(missing_ok=True)
        self._process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(SETTLE_S):
            while not self._held.exists():  # noqa: ASYNC110 - of another process nothing tells
                await asyncio.sleep(0.02)
        tasks, blocks = self._held.read_text().split()
        return int(tasks), int(blocks)

    def _bundle(self) -> None:
        connections = connect(self._load)
        try:
            if random.random() < RUDE_PART:
                self._leave(connections)
            else:
                run(self._load, connections)
        finally:
            close(connections)
        self.requests += self._load.requests
        self.bundles += 1

    def _leave(self, connections: list[Connection]) -> None:
        for connection in connections:
            connection.send_all()
        self.rude += 1


def judged(looks: list[Look]) -> list[tuple[str, bool]]:
    """What the looks say: the first is before the load, the last after it, at least one is in between."""
    before, after = looks[0], looks[-1]
    half = next(look for look in looks[1:] if look.at_s >= after.at_s / 2)
    growth = after.rss_mb - half.rss_mb
    blocks = after.blocks / half.blocks - 1
    return [
        (f"idle memory {before.rss_mb:.1f} MB < {IDLE_MB_MAX} MB", before.rss_mb < IDLE_MB_MAX),
        (
            f"memory after {after.requests:,} requests {after.rss_mb:.1f} MB < {RSS_MB_MAX} MB",
            after.rss_mb < RSS_MB_MAX,
        ),
        (f"growth in the second half {growth:.1f} MB < {GROWTH_MB_MAX} MB", growth < GROWTH_MB_MAX),
        (f"growth of the blocks in it {blocks:.1%} < {BLOCKS_GROWTH_MAX:.0%}", blocks < BLOCKS_GROWTH_MAX),
        (f"file descriptors {before.files} before, {after.files} after", after.files <= before.files),
        (f"tasks {before.tasks} before, {after.tasks} after", after.tasks <= before.tasks),
    ]


async def main() -> int:
    """Start, load, look, judge."""
    minutes = number_of("MINUTES", 10, 1)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-soak-")))
        config_map(folder, CONFIG)
        store_port = await start_store(stack, folder)
        environ = {
            "RUNTIME_ROOT": str(folder),
            "RUNTIME_WATCH_ROOT": "false",
            "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "REDIS_URL": f"{LOOPBACK}:{store_port}",
            "REDIS_TIMEOUT": "2s",  # client and store share a core: the store's deadline is not what is measured
            "LOCAL_CACHE_SIZE_IN_BYTES": str(1024 * 1024),
            "LOG_LEVEL": "warn",
            "DRAIN_DELAY": "0",
        }
        lags = folder / "lags.json"
        instance = await start_service("service", folder, environ, module=("loadtest.probed", str(lags)))
        stack.push_async_callback(instance.program.stop)
        if pinned(CLIENT_CORE):
            for thread in psutil.Process(instance.program.process.pid).threads():
                os.sched_setaffinity(thread.id, {SERVER_CORE})
            os.sched_setaffinity(0, {CLIENT_CORE})
        store = await stack.enter_async_context(redis.asyncio.Redis(host=LOOPBACK, port=store_port))
        soak = Soak(instance, lags, store)
        before = await soak.look()
        await soak.run(minutes * 60)
        await soak.settle(before)
        code = await instance.program.stop()
        verdicts = [*judged(soak.looks), (f"the service ended with code {code}", code == 0)]
        print(f"{soak.bundles} bundles of {BUNDLE.connections} connections, {soak.rude} of them left with calls open")
        print(f"lag of the loop in ms: {json.loads(lags.read_text())}")
    for text, good in verdicts:
        print(f"{'reached' if good else 'MISSED '}  {text}")
    return int(not all(good for _, good in verdicts))


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "bench-soak"))
