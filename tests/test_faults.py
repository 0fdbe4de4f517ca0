import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from tests.faults import LOOPBACK, FaultProxy

PAUSE_S = 0.05


@dataclass(slots=True)
class Line:
    """A client's connection to an echo server, through the proxy."""

    proxy: FaultProxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def echo(self, data: bytes) -> bytes:
        """Write bytes and read as many."""
        self.writer.write(data)
        return await self.reader.readexactly(len(data))


async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a loopback port."""
    return await asyncio.open_connection(LOOPBACK, port)


@pytest_asyncio.fixture
async def heard() -> bytearray:
    """What the echo server read."""
    return bytearray()


@pytest_asyncio.fixture
async def line(heard: bytearray) -> AsyncIterator[Line]:
    """A line whose proxy does nothing yet."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                heard.extend(data)
                writer.write(data)
        except ConnectionResetError:
            heard.extend(b"<reset>")
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    async with server, FaultProxy(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await dial(proxy.port)
        yield Line(proxy, reader, writer)
        writer.close()


async def test_without_a_fault_bytes_pass(line: Line) -> None:
    """More than one piece each way, and the end of the stream."""
    data = bytes(range(256)) * 1024
    assert await line.echo(data) == data
    line.writer.write_eof()
    assert await line.reader.read() == b""
    assert (line.proxy.accepted, line.proxy.requests.bytes_seen) == (1, len(data))


async def test_delay_holds_one_direction(line: Line) -> None:
    """A reply takes its delay, a request does not wait for it."""
    line.proxy.replies.delay_s = PAUSE_S
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await line.echo(b"late") == b"late"
    # In whole milliseconds, which is how finely uvloop's clock tells time: its fractions differ by a rounding.
    assert round(1000 * (loop.time() - started)) >= 1000 * PAUSE_S


async def test_refused_until_accepted(line: Line) -> None:
    """New connections are refused on the same port, live ones go on, and later new ones pass again."""
    await line.proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await dial(line.proxy.port)
    assert await line.echo(b"still here") == b"still here"
    line.proxy.accept()
    _, writer = await dial(line.proxy.port)
    writer.close()


async def test_reset_is_seen_by_both_sides(line: Line, heard: bytearray) -> None:
    """RST, not an end of the stream, for the client and for the server."""
    await line.echo(b"x")
    await line.proxy.reset()
    with pytest.raises(ConnectionResetError):
        await line.reader.read()
    while b"<reset>" not in heard:  # noqa: ASYNC110 - the server's loop is this one
        await asyncio.sleep(0)
    assert line.proxy.live == 0


async def test_half_closed_still_takes_requests(line: Line, heard: bytearray) -> None:
    """The client reads the end of the stream while the server goes on reading."""
    await line.echo(b"x")
    line.proxy.half_close()
    assert await line.reader.read() == b""
    line.writer.write(b"yz")
    await line.proxy.requests.seen(3)
    await line.proxy.replies.seen(3)
    assert heard == b"xyz"


async def test_swallowed_replies_were_answers(line: Line, heard: bytearray) -> None:
    """The server answered; the client hears only what comes later."""
    line.proxy.replies.swallow = True
    line.writer.write(b"lost")
    await line.proxy.replies.seen(4)
    line.proxy.replies.swallow = False
    assert await line.echo(b"found") == b"found"
    assert heard == b"lostfound"


async def test_cut_lets_so_many_bytes_through(line: Line) -> None:
    """Exactly these bytes arrive, then the connection is reset; the next one is not touched."""
    line.proxy.replies.cut_after(7)
    line.writer.write(b"1234")
    assert await line.reader.readexactly(4) == b"1234"
    line.writer.write(b"56789")
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await line.reader.readexactly(4)
    reader, writer = await dial(line.proxy.port)
    writer.write(b"all of it")
    assert await reader.readexactly(9) == b"all of it"
    writer.close()


async def test_a_stall_stops_the_server_from_writing(line: Line, heard: bytearray) -> None:
    """What is written while nobody reads stays with the writer, and comes whole when the flow goes on."""
    line.proxy.requests.stall()
    data = b"s" * 8_000_000
    line.writer.write(data)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(line.writer.drain(), PAUSE_S)
    assert len(heard) == 0
    line.proxy.requests.flow()
    assert await line.reader.readexactly(len(data)) == data


async def test_an_absent_server_is_a_reset() -> None:
    """The proxy takes the connection before it knows the server, so it can only end it."""
    async with FaultProxy(1) as proxy:
        reader, writer = await dial(proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    assert proxy.live == 0


async def test_it_leaves_nothing(line: Line) -> None:
    """A proxy that is left with connections open ends them and gives its port back."""
    async with FaultProxy(line.proxy.port) as outer:
        reader, writer = await dial(outer.port)
        writer.write(b"x")
        await reader.readexactly(1)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    with pytest.raises(ConnectionRefusedError):
        await dial(outer.port)
    writer.close()
