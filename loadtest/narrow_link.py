"""A store that can do so much and no more: a way to it that carries a bounded number of bytes a second."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.demo.processes import LOOPBACK

PIECE_BYTES = 512
# Behind by more than this, it does not catch up: timers are late now and then.
CATCH_UP_S = 0.005


@asynccontextmanager
async def narrow_link(port: int, bytes_per_s: float) -> AsyncIterator[int]:
    """Listen on a free port, which is told, and forward to `port`; replies pass as they come."""
    links: set[asyncio.Task[None]] = set()

    async def link(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        links.add(asyncio.current_task())  # type: ignore[arg-type]
        server, to_server = await asyncio.open_connection(LOOPBACK, port)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(_copy(server, to_client))
                ways.create_task(_copy_slowly(client, to_server, bytes_per_s))
        except* OSError:
            pass
        finally:
            to_client.close()
            to_server.close()

    server = await asyncio.start_server(link, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for each in links:
            each.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(64 * 1024):
        sink.write(data)
    sink.close()


async def _copy_slowly(source: asyncio.StreamReader, sink: asyncio.StreamWriter, bytes_per_s: float) -> None:
    free_at = time.perf_counter()
    while data := await source.read(PIECE_BYTES):
        sink.write(data)
        free_at = max(free_at, time.perf_counter() - CATCH_UP_S) + len(data) / bytes_per_s
        if free_at > time.perf_counter():
            await asyncio.sleep(free_at - time.perf_counter())
    sink.close()
