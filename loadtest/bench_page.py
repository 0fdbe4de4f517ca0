"""`make bench-page`: what an open page takes of a worker's time, at RATE (50,000) calls a second and 10,000 limits.

The service is on core 0; client, store and the reader of the page on core 1. In every round each kind of request is
sent twice, by the clock: with nobody looking and with a page open, in turns of who goes first. What the server's CPU
time differs by is the page's; since that is lost in the noise of a busy machine, the page's code is timed by itself,
too. ROUNDS and SECONDS (of one measurement) size the run. At the end the page is opened in Chromium, where that is
installed: until the first paint, and until the limits are there.
"""

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio

from deploy.demo.processes import LOOPBACK, config_map, free_port, run_to_the_end
from loadtest.cases import Case
from loadtest.header_blocks import PATH
from loadtest.measuring import Sample, measure
from loadtest.page_code import key_lines, tick_lines
from loadtest.raw_client import Load
from loadtest.request_frames import CONFIG, DOMAIN, request
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
from ratelimit.limiter.planner import DESCRIPTORS_MAX

LIMITS = 10_000
KINDS = ("constant", "10,000 keys", "unique", "over")
PAINTS = 5
HEADER = f"{'':<16}{'calls/s':>10}{'CPU µs':>10}{'with page':>10}{'of a worker':>13}"


def config(limits: int = LIMITS) -> str:
    """The bench's, and so many limits more."""
    rows = (
        f"  - {{key: path, value: /item-{n}, rate_limit: {{unit: hour, requests_per_unit: 9}}}}\n"
        for n in range(limits)
    )
    return CONFIG + "".join(rows)


def part(closed: Sample, opened: Sample) -> float:
    """The part of one core's time that the page took, at the rate that was asked for."""
    return (opened.cpu_us - closed.cpu_us) * closed.rate / 1e6


def row(kind: str, pairs: Iterable[tuple[Sample, Sample]]) -> str:
    """The table's: medians, the part with its quartiles."""
    closed, opened = zip(*pairs, strict=True)
    parts = sorted(map(part, closed, opened))
    quartiles = statistics.quantiles(parts, method="inclusive") if len(parts) > 1 else parts * 3
    median = [statistics.median(each.cpu_us for each in side) for side in (closed, opened)]
    rate = statistics.median(each.rate for each in closed)
    spread = f"{quartiles[1]:>12.2%} ({quartiles[0]:.2%} to {quartiles[2]:.2%})"
    return f"{kind:<16}{rate:>10,.0f}{median[0]:>10.2f}{median[1]:>10.2f}{spread}"


@asynccontextmanager
async def page_open(port: int) -> AsyncIterator[None]:
    """Somebody reads the events, as a browser does, from the first one on."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{LOOPBACK}:{port}/page/events") as answer:
        await answer.content.readline()
        reading = asyncio.ensure_future(_read(answer))
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _read(answer: aiohttp.ClientResponse) -> None:
    while await answer.content.readany():
        pass


async def measure_pair(
    case: Case, server: Server, requests: int, *, page: int, page_first: bool
) -> tuple[Sample, Sample]:
    """One measurement with nobody looking, and one with a page open."""
    found: dict[bool, Sample] = {}
    for opened in (page_first, not page_first):
        if opened:
            async with page_open(page):
                found[opened] = await measure(case, server, requests)
        else:
            found[opened] = await measure(case, server, requests)
    return found[False], found[True]


async def measure_all() -> int:
    """Measure every kind in turns, print the table; the exit code."""
    try:
        rounds, seconds = number_of("ROUNDS", 9, 1), number_of("SECONDS", 3, 1)
        rate = number_of("RATE", 50_000, 100)
    except ValueError as error:
        sys.exit(f"bench-page: {error}")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config_map(folder / OWN_FOLDER, config())
        store = await start_store(stack, folder)
        page = free_port()
        program = Program(OURS, OURS_COMMAND, {**OURS_ENVIRON, "REDIS_TIMEOUT": "10s", "DEBUG_PORT": str(page)})
        server = await start_server(stack, program, folder, store)
        cores = os.sched_getaffinity(0)
        if pinned(CLIENT_CORE):
            os.sched_setaffinity(0, {CLIENT_CORE})
        await touch_all(server)
        pairs: dict[str, list[tuple[Sample, Sample]]] = {kind: [] for kind in KINDS}
        for number in range(-1, rounds):  # the one below 0 warms up
            for kind in KINDS:
                load = Load(0, kind, connections=8, streams=250, rate=rate, code=None)
                both = await measure_pair(
                    Case(kind, kind, load), server, rate * seconds, page=page, page_first=number % 2 == 0
                )
                if number >= 0:
                    pairs[kind].append(both)
        print(HEADER)
        for kind, found in pairs.items():
            print(row(kind, found), flush=True)
        names = [f"{DOMAIN}.path_/item-{number}" for number in range(LIMITS)]
        print("\n".join((*tick_lines(config(), names), *key_lines(rate))), flush=True)
        if shutil.which("chromium"):
            os.sched_setaffinity(0, cores)
            await _paints(page, folder)
    return 0


async def touch_all(server: Server) -> None:
    """Ask for each limit once, so that it has counters that the page looks through."""
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{server.port}") as channel:
        ask: Any = channel.unary_unary(PATH)
        for first in range(0, LIMITS, DESCRIPTORS_MAX):
            some = range(first, min(LIMITS, first + DESCRIPTORS_MAX))
            await ask(request([("path", f"/item-{number}") for number in some]))


async def _paints(page: int, folder: Path) -> None:
    from playwright.async_api import expect  # noqa: PLC0415 - only where there is a browser

    from tests.browser import started  # noqa: PLC0415 - likewise

    paints, limits = [], []
    async with started(folder / "profile") as browser:
        for _ in range(PAINTS + 1):
            tab = await browser.new_page()
            await tab.goto(f"http://{LOOPBACK}:{page}/", wait_until="load")
            await expect(tab.locator("#count")).to_contain_text("domain")
            limits.append(await tab.evaluate("performance.now()"))
            paints.append(await tab.evaluate("performance.getEntriesByType('paint')[0].startTime"))
            await tab.close()
    shown = [
        f"{statistics.median(each[1:]):.0f} ms (first page of the browser {each[0]:.0f})" for each in (paints, limits)
    ]
    print(f"{LIMITS:,} limits in Chromium: first paint {shown[0]}, limits there {shown[1]}")


if __name__ == "__main__":
    sys.exit(run_to_the_end(measure_all, "bench-page"))
