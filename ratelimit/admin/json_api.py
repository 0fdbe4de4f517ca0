"""/json: a RateLimitRequest in proto JSON, answered as envoyproxy/ratelimit answers it, and with the reason of a no."""

import asyncio
import re
import time
from typing import Protocol

from aiohttp import web

from ratelimit.admin.json_budget import BODY_BYTES_MAX, READABLE_ENCODINGS, decompressed, request_pieces
from ratelimit.admin.listener import body_is_read
from ratelimit.errors import RpcError
from ratelimit.service.messages import response_json

# So long one request may build before the event loop runs.
SLICE_S = 0.001
REASON_CHARACTERS_MAX = 500
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Answering(Protocol):
    """Who answers a serialised request, in this process or in another. Raises RpcError."""

    async def ask(self, message: bytes) -> bytes:
        """The serialised response."""


class JsonApi:
    """The handler of /json."""

    def __init__(self, service: Answering) -> None:
        self._service = service
        # One at a time, in reading and in writing: many together would hold the loop for as long as they are many.
        self._turn = asyncio.Lock()

    async def handle(self, request: web.Request) -> web.Response:
        """200 or 429 with the response; whatever goes wrong is 400, as the reference has it."""
        encoding = ", ".join(request.headers.getall("Content-Encoding", ())).strip().lower()
        if encoding not in READABLE_ENCODINGS:
            return _refusal(415, "Unsupported Media Type", f"Content-Encoding {encoding}: gzip or deflate is readable")
        try:
            body = await request.read()
            body_is_read()
            message = await self._message(decompressed(body, encoding))
            answer = await self._service.ask(message)
        except RpcError as error:
            return _refusal(400, "Bad Request", error.details)
        except web.HTTPRequestEntityTooLarge:
            return _refusal(400, "Bad Request", f"larger than {BODY_BYTES_MAX} bytes")
        except (web.RequestPayloadError, ConnectionError) as error:
            # Nobody may be there to read this any more, but a client that goes away is nothing to log.
            return _refusal(400, "Bad Request", f"the body cannot be read: {error}")
        async with self._turn:
            over_limit, text = response_json(answer)
        return web.Response(status=429 if over_limit else 200, body=text, content_type="application/json")

    async def _message(self, body: bytes) -> bytes:
        async with self._turn:
            message = bytearray()
            until = time.perf_counter() + SLICE_S
            for piece in request_pieces(body):
                message += piece
                if time.perf_counter() > until:
                    await asyncio.sleep(0)
                    until = time.perf_counter() + SLICE_S
            return bytes(message)


def _refusal(status: int, first_line: str, reason: str) -> web.Response:
    """The reference's first line, and a second that says why: short, one line, and text whatever the caller sent."""
    why = _NO_TEXT.sub(" ", reason)[:REASON_CHARACTERS_MAX].strip()
    body = f"{first_line}\n{why}\n".encode(errors="backslashreplace")
    return web.Response(status=status, body=body, content_type="text/plain", charset="utf-8")
