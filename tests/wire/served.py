"""The server that the tests of this folder speak to: every kind of method, in this process or in one of its own.

`/test.Echo/Say` is a direct method, as the rate limit's is, and answers with the message: at once, or never where the
message is `wait`, or with UNAVAILABLE for `fail`. `grpc.testing.TestService` has the other kinds of methods.

It is a program too, which prints its port and ends with its input: `python -m tests.wire.served SETTINGS_AS_JSON`.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence

import uvloop

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.settings import ServerSettings
from ratelimit.transport.methods import Call
from ratelimit.transport.native_server import NativeServer
from tests.wire import testing_service

ECHO = b"/test.Echo/Say"
# A machine that does many other things may need a while for its part of a handshake.
LOOPBACK = ServerSettings(grpc_host="127.0.0.1", grpc_port=0, grpc_handshake_timeout=60)


def echo(calls: Sequence[Call], messages: Sequence[bytes]) -> None:
    """Answer with the message; never for `wait`; with UNAVAILABLE for `fail`."""
    for call, message in zip(calls, messages, strict=True):
        if message == b"fail":
            call.fail(RpcError(GrpcStatus.UNAVAILABLE, "as asked"))
        elif message != b"wait":
            call.reply(message)


async def serve(settings: ServerSettings = LOOPBACK) -> NativeServer:
    """A running server with all methods."""
    server = NativeServer(settings)
    server.add_direct_method(ECHO.decode(), echo)
    testing_service.add_to(server)
    await server.start()
    return server


@contextlib.asynccontextmanager
async def running(settings: ServerSettings = LOOPBACK) -> AsyncIterator[NativeServer]:
    """The same, stopped at the end without waiting for anybody."""
    server = await serve(settings)
    try:
        yield server
    finally:
        await server.stop(0)


async def main(given: dict[str, object]) -> None:
    """Serve with these settings until the input ends."""
    async with running(LOOPBACK.model_copy(update=given)) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}))
