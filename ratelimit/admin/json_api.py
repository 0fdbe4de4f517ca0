"""/json: a RateLimitRequest in proto JSON, answered as envoyproxy/ratelimit answers it.

Why a request is refused stands in a header, since the body is the reference's to the byte.
"""

import asyncio
import re
import time
from typing import Protocol

from aiohttp import web

from ratelimit.admin.json_budget import BODY_BYTES_MAX, decompressed, request_pieces
from ratelimit.admin.listener import body_is_read, plain_error
from ratelimit.descriptors.tree import Config
from ratelimit.errors import RpcError
from ratelimit.service.messages import response_json

# So long one request may build before the event loop runs.
SLICE_S = 0.001
REASON_CHARACTERS_MAX = 500
REASON_HEADER = "Ratelimit-Reason"
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Answering(Protocol):
    """Who answers a serialised request, in this process or in another. Raises RpcError."""

    async def ask(self, message: bytes, *, counted: bool = False) -> bytes:
        """The serialised response; `counted`: only what the store counted is one."""


class Configured(Answering, Protocol):
    """Who answers requests, and under which configuration."""

    @property
    def config(self) -> Config | None:
        """That in force; None before the first."""


class JsonApi:
    """The handler of /json."""

    def __init__(self, service: Answering) -> None:
        self._service = service
        # One at a time, in reading and in writing: many together would hold the loop for as long as they are many.
        self._turn = asyncio.Lock()

    async def handle(self, request: web.Request) -> web.Response:
        """200 or 429 with the response; whatever goes wrong is 400, as the reference has it."""
        encoding = ", ".join(request.headers.getall("Content-Encoding", ())).strip().lower()
        try:
            body = await request.read()
            body_is_read()
            message = await self._message(decompressed(body, encoding))
            answer = await self._service.ask(message)
        except RpcError as error:
            return _refusal(error.details)
        except web.HTTPRequestEntityTooLarge:
            return _refusal(f"larger than {BODY_BYTES_MAX} bytes")
        except (web.RequestPayloadError, ConnectionError) as error:
            # Nobody may be there to read this any more, but a client that goes away is nothing to log.
            return _refusal(f"the body cannot be read: {error}")
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


def _refusal(reason: str) -> web.Response:
    """400 as the reference has it, and the reason: short, one line, and ASCII whatever the caller sent."""
    why = _NO_TEXT.sub(" ", reason)[:REASON_CHARACTERS_MAX].strip()
    return plain_error(400, "Bad Request\n", {REASON_HEADER: why.encode("ascii", "backslashreplace").decode()})
