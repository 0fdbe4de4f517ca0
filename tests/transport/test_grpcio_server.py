import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.settings import ServerSettings
from ratelimit.transport.grpcio_server import GrpcioServer
from ratelimit.transport.methods import Call

PATH = "/test.Echo/Say"


def echo(calls: Sequence[Call], messages: Sequence[bytes]) -> None:
    """Answer with the message; fail for `fail`; answer twice for `twice`; later for `later`."""
    for call, message in zip(calls, messages, strict=True):
        if message == b"fail":
            call.fail(RpcError(GrpcStatus.UNAVAILABLE, "déjà vu\n"))
        elif message == b"later":
            asyncio.get_running_loop().call_later(0.01, call.reply, b"now")
        else:
            call.reply(message)
            if message == b"twice":
                call.reply(b"again")
                call.fail(RpcError(GrpcStatus.INTERNAL, "again"))


async def serve(settings: ServerSettings) -> GrpcioServer:
    """A running echo server."""
    server = GrpcioServer(settings)
    server.add_direct_method(PATH, echo)
    await server.start()
    return server


@pytest_asyncio.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    """Grpcio's own client on an echo server."""
    server = await serve(ServerSettings(grpc_host="127.0.0.1", grpc_port=0, grpc_max_recv_msg_bytes=1000))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel
    await server.stop(0)


@pytest.mark.parametrize(("message", "answer"), [(b"hi", b"hi"), (b"", b""), (b"twice", b"twice"), (b"later", b"now")])
async def test_the_first_answer_ends_a_call(channel: grpc.aio.Channel, message: bytes, answer: bytes) -> None:
    """Now or later, once."""
    assert await channel.unary_unary(PATH)(message) == answer


@pytest.mark.parametrize(
    ("path", "message", "status", "details"),
    [
        (PATH, b"fail", grpc.StatusCode.UNAVAILABLE, "déjà vu\n"),
        (PATH, b"x" * 2000, grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
        ("/test.Echo/Nothing", b"", grpc.StatusCode.UNIMPLEMENTED, ""),
    ],
)
async def test_errors_have_their_status(
    channel: grpc.aio.Channel, path: str, message: bytes, status: grpc.StatusCode, details: str
) -> None:
    """Ours with their words, the library's with its own."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(path)(message)
    assert caught.value.code() is status
    assert details in str(caught.value.details())


async def test_a_unix_socket(tmp_path: Path) -> None:
    """GRPC_UDS takes the place of host and port."""
    path = tmp_path / "rl.sock"
    server = await serve(ServerSettings(grpc_uds=str(path)))
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        assert await channel.unary_unary(PATH)(b"hi") == b"hi"
    await server.stop(0)


async def test_an_address_that_cannot_be_bound_is_named() -> None:
    """The error says which variables to look at."""
    with pytest.raises(OSError, match="GRPC_HOST, GRPC_PORT"):
        await serve(ServerSettings(grpc_host="192.0.2.1", grpc_port=1))
