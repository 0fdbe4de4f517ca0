import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from h2.errors import ErrorCodes

from ratelimit.settings import ServerSettings
from tests.wire import client as wire_client
from tests.wire import frames
from tests.wire.client import Ending, connected
from tests.wire.served import ECHO, running


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    """The port of a running server."""
    async with running() as server:
        yield server.port


@contextlib.asynccontextmanager
async def speaking(*pieces: bytes) -> AsyncIterator[int]:
    """A peer that sends these bytes, whatever it hears, and closes."""

    def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(pieces)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("bytewise", [False, True])
async def test_a_call_is_answered(port: int, bytewise: bool) -> None:
    """Status, message and trailers of a unary call; and the connection lives on."""
    async with connected(port, bytewise=bytewise) as client:
        await client.open()
        reply = await client.answered(await client.call(ECHO, b"hello"))
        assert (reply.status, reply.grpc_status, reply.messages, reply.reset) == (200, 0, [b"hello"], None)
        await client.alive()


async def test_a_call_is_answered_over_tls(tls_settings: ServerSettings) -> None:
    """The same behind a handshake that agrees on HTTP/2."""
    async with running(tls_settings) as server, connected(server.port, tls=True) as client:
        await client.open()
        reply = await client.answered(await client.call(ECHO, b"hello"))
        assert reply.messages == [b"hello"]


async def test_how_a_connection_ended_is_known() -> None:
    """The code of GOAWAY, or that there was none."""
    async with speaking(frames.goaway(0, ErrorCodes.PROTOCOL_ERROR)) as port, connected(port) as client:
        assert await client.ending() == Ending(ErrorCodes.PROTOCOL_ERROR)
    async with speaking(frames.settings()) as port, connected(port) as client:
        assert await client.ending() == Ending(None)


async def test_what_came_before_a_write_failed_is_read() -> None:
    """A peer that says why and cuts off is heard, also by who was busy writing all the while."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with connected(listening.getsockname()[1]) as client:
            peer, _ = listening.accept()
            with peer:
                await client.send(b"unread, so that closing resets")
                peer.recv(1)
                peer.sendall(frames.goaway(0, ErrorCodes.ENHANCE_YOUR_CALM))
            client.transport.write(b"too late")
            assert await client.ending() == Ending(ErrorCodes.ENHANCE_YOUR_CALM)


async def test_what_did_not_come_is_told_with_what_came() -> None:
    """A wait fails as soon as the connection has ended, and names the frames before."""
    async with speaking(frames.settings(), frames.ping()) as port, connected(port) as client:
        with pytest.raises(AssertionError, match=r"ended before the end of stream 1.*Ping"):
            await client.answered(1)


async def test_a_wait_is_bounded(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    """A server that says nothing does not hold a test for ever."""
    monkeypatch.setattr(wire_client, "WAIT_S_MAX", 0.01)
    async with connected(port) as client:
        with pytest.raises(AssertionError, match="passed before"):
            await client.answered(1)
        monkeypatch.undo()


async def test_nonsense_of_the_server_fails_whoever_waits() -> None:
    """A frame that no library reads is an error of the server, not silence."""
    wrong = frames.frame(frames.Kind.RST_STREAM, b"\0", stream=1)
    async with speaking(wrong) as port, connected(port) as client:
        with pytest.raises(AssertionError, match="cannot be read"):
            await client.alive()


async def test_streams_are_told_apart_and_blocks_joined() -> None:
    """Headers cut by CONTINUATION, data in pieces, trailers; a reset of another stream between."""
    head, tail = frames.block([(b":status", b"200")]), frames.block([(b"grpc-status", b"5")])
    pieces = [
        frames.headers(1, head[:3], whole=False) + frames.continuation(1, head[3:]),
        frames.data(1, frames.message(b"ab")[:6]) + frames.rst_stream(3, ErrorCodes.REFUSED_STREAM),
        frames.data(1, frames.message(b"ab")[6:]) + frames.headers(1, tail, end=True),
    ]
    async with speaking(*pieces) as port, connected(port) as client:
        reply = await client.answered(1)
        assert (reply.status, reply.grpc_status, reply.messages) == (200, 5, [b"ab"])
        assert await client.reset(3) == ErrorCodes.REFUSED_STREAM
