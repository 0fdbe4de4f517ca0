"""Server-sent events: one publisher, a bounded number of readers, each of whom may fall behind by so many bytes.

What is published is made once for all, and only while somebody reads. Who reads too slowly is cut off, and comes again
by itself: a browser's EventSource does. A tick takes at most LOOP_PART of the loop's time: where it is more work, the
next one comes later.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import structlog
from aiohttp import web

from ratelimit.admin.listener import plain_error, takes_longer
from ratelimit.admin.pieces import cut_off

READERS_MAX = 8
HELD_BYTES_MAX = 2 * 1024 * 1024
WRITE_S = 10.0
TICK_S = 0.5
# A connection without a word for BUSY_S is ended.
TICK_S_MAX = 10.0
LOOP_PART = 0.015
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # A proxy in between shall not gather events.
    "X-Accel-Buffering": "no",
}

_log = structlog.get_logger(__name__)


class Publisher(Protocol):
    """What is published. Each piece is whole events and a millisecond of work at most; some are empty."""

    def opened(self) -> None:
        """Somebody reads, and nobody did before."""

    def closed(self) -> None:
        """Nobody reads any more."""

    def pieces(self) -> Iterator[bytes]:
        """What is new since the pieces before."""

    def known(self) -> Iterator[bytes]:
        """All that was new before, for a reader who comes later."""


class _Reader:
    """Who reads, and what waits to be written to it."""

    def __init__(self, abort: Callable[[], None]) -> None:
        self._abort = abort
        self._parts: list[bytes] = []
        self._held = 0
        self._news = asyncio.Event()
        self.ended = False

    def put(self, piece: bytes) -> None:
        """Let it have a piece, or cut it off where too much waits already."""
        if self.ended:
            return
        self._parts.append(piece)
        self._held += len(piece)
        if self._held > HELD_BYTES_MAX:
            self._parts.clear()
            self._held = 0
            self._abort()
            self.end()
        self._news.set()

    def end(self) -> None:
        """What waits is still written, and nothing comes after it."""
        self.ended = True
        self._news.set()

    async def take(self) -> bytes:
        """What waits, as soon as there is something; nothing at the end."""
        if not self._parts and not self.ended:
            self._news.clear()
            await self._news.wait()
        pieces, self._parts, self._held = self._parts, [], 0
        return b"".join(pieces)


class EventStream:
    """The handler of a stream."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._readers: set[_Reader] = set()
        self._publishing: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def readers(self) -> int:
        """How many read now."""
        return len(self._readers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Stream until the reader goes, is too slow, or the service ends; 503 where there is no room."""
        if request.method != "GET":
            return plain_error(405, "GET is wanted\n", {"Allow": "GET"})
        if self._closed or len(self._readers) >= READERS_MAX:
            return plain_error(503, f"{READERS_MAX} pages are open; close one\n", {"Retry-After": "5"})
        response = web.StreamResponse(headers=HEADERS)
        reader = _Reader(partial(cut_off, request))
        self._readers.add(reader)
        try:
            await self._write_all(request, response, reader)
        except (ConnectionError, TimeoutError):
            cut_off(request)
        finally:
            self._readers.discard(reader)
        return response

    async def close(self) -> None:
        """End every stream."""
        self._closed = True
        for reader in self._readers:
            reader.end()
        if self._publishing is not None:
            self._publishing.cancel()
            await asyncio.gather(self._publishing, return_exceptions=True)

    async def _write_all(self, request: web.Request, response: web.StreamResponse, reader: _Reader) -> None:
        await response.prepare(request)
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.ensure_future(self._publish())
        else:
            for piece in self._publisher.known():
                await _write(response, piece)
                await asyncio.sleep(0)
        while piece := await reader.take():
            await _write(response, piece)
        await response.write_eof()

    async def _publish(self) -> None:
        self._publisher.opened()
        try:
            while self._readers:
                spent_s = await self._tick()
                await asyncio.sleep(min(TICK_S_MAX, max(TICK_S, spent_s / LOOP_PART)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the pages' streams and nothing else
            _log.error("the events of the page ended unexpectedly", exc_info=error)
            for reader in self._readers:
                reader.end()
        finally:
            self._publisher.closed()

    async def _tick(self) -> float:
        """Publish what is new; the seconds of the loop's thread that it took."""
        spent_s = 0.0
        pieces = self._publisher.pieces()
        while True:
            began = time.thread_time()
            piece = next(pieces, None)
            for reader in list(self._readers) if piece else ():
                reader.put(piece or b"")
            spent_s += time.thread_time() - began
            if piece is None:
                return spent_s
            await asyncio.sleep(0)


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    takes_longer(0)
    async with asyncio.timeout(WRITE_S):
        await response.write(piece)
