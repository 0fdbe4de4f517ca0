"""An answer of any size, written piece by piece."""

import asyncio
from collections.abc import Iterator, Mapping

from aiohttp import web

# Whoever reads so slowly that it is not out by then, which is as long as Prometheus waits, is cut off.
SCRAPE_S = 10.0


async def in_pieces(
    request: web.Request, pieces: Iterator[bytes], content_type: str, more: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """Send pieces as they are made; the event loop runs after each, and a slow reader slows the making.

    `more` are headers.
    """
    headers = {"Content-Type": content_type, **(more or {})}
    if request.method == "HEAD":
        # aiohttp would send what a stream writes, and HEAD has no body.
        return web.Response(headers=headers)
    response = web.StreamResponse(headers=headers)
    try:
        async with asyncio.timeout(SCRAPE_S):
            await response.prepare(request)
            for piece in pieces:
                if piece:
                    await response.write(piece)
                await asyncio.sleep(0)
            await response.write_eof()
    except (ConnectionError, TimeoutError):
        # Whoever asked has gone or does not read: there is nothing to log, and half an answer is not ended as a whole.
        cut_off(request)
    return response


def cut_off(request: web.Request) -> None:
    """End the connection of a request at once, if it is there still."""
    if request.transport is not None:
        request.transport.abort()
