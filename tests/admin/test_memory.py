"""A process with the most and the longest series, measured from outside: its memory, and how long its loop stands."""

import asyncio
import os
import sys
from dataclasses import dataclass

import aiohttp
import psutil
import pytest

# 120 MB resident, less 23 MB of library files: the page cache decides how many of those pages are mapped.
HELD_BYTES_MAX = 97 * 1000 * 1000
# The issue says 10 ms on a usual machine. Of the loop's own time: what else the machine does is not measured.
LAG_S_MAX = 0.02
HOLDS_AND_SERVES = """
import asyncio, gc, time, uvloop
import ratelimit.app
from tests.admin.running import Admin, settings

async def main():
    admin = Admin(settings())
    await admin.server.start()
    for number in range(12_000):
        name = f"d{number}." + chr(0x10400 + number) * 900 + '"' * 400
        stats = admin.metrics.limit(name, configured=False)
        stats.total_hits = stats.within_limit = stats.over_limit = 1_000_000_000 + number
        admin.metrics.domain_not_found(name, 1_000_000_000)
    # Else one collection over all that was imported is measured: 25 ms, whatever runs.
    gc.collect()
    gc.freeze()
    print(admin.server.ports["metrics"], flush=True)
    ending = asyncio.get_running_loop().run_in_executor(None, input)
    longest, before = 0.0, time.thread_time()
    while not ending.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    print(longest, flush=True)
    await admin.server.close()

asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
"""


@dataclass
class Measured:
    held_bytes: int
    lag_s: float
    bodies: list[bytes]


async def scrape(port: int) -> bytes:
    """One scrape, whole."""
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200
        return await response.read()


async def measure() -> Measured:
    """Three scrapes at once."""
    pipe = asyncio.subprocess.PIPE
    # Coverage's own memory and time are not measured.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDS_AND_SERVES, stdin=pipe, stdout=pipe, env=environ
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        seen, held = psutil.Process(process.pid), 0
        scrapes = asyncio.gather(*(scrape(port) for _ in range(3)))
        while not scrapes.done():
            memory = seen.memory_info()
            held = max(held, memory.rss - memory.shared)
            await asyncio.wait([scrapes], timeout=0.01)
        bodies = await scrapes
    finally:
        lag, _ = await asyncio.wait_for(process.communicate(b"\n"), 30)
    return Measured(held, float(lag), bodies)


@pytest.fixture(scope="module")
def measured() -> Measured:
    """Once for all: it takes seconds."""
    return asyncio.run(measure())


def test_the_memory_is_bounded(measured: Measured) -> None:
    """10,000 names that callers chose, each the longest, and three scrapes at once: bounded in all."""
    assert measured.held_bytes < HELD_BYTES_MAX
    for body in measured.bodies:
        assert body.count(b"ratelimit_service_rate_limit_total_hits{") == 10_001
        assert body.count(b"ratelimit_service_rate_limit_near_limit{") == 0


def test_the_loop_goes_on_while_it_is_scraped(measured: Measured) -> None:
    """The snapshot, and each piece of the text, is short."""
    assert measured.lag_s < LAG_S_MAX
