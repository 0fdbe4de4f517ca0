import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from ratelimit.admin import event_stream
from ratelimit.admin.event_stream import EventStream, _Reader
from ratelimit.admin.listener import Bounds, HttpListener
from ratelimit.metrics import HttpStats
from tests.admin.running import until


class Counting:
    """Publishes the numbers from 1, or what it is told to; notes when it begins and ends."""

    def __init__(self) -> None:
        self.number = self.begun = self.ended = 0
        self.size = 0
        self.fault: Exception | None = None

    def opened(self) -> None:
        self.begun += 1

    def closed(self) -> None:
        self.ended += 1

    def pieces(self) -> Iterator[bytes]:
        yield b""
        if self.fault is not None:
            raise self.fault
        self.number += 1
        yield b"%d\n" % self.number + b"x" * self.size

    def known(self) -> Iterator[bytes]:
        yield b"known up to %d\n" % self.number


class Served:
    """A stream on a port."""

    def __init__(self) -> None:
        self.counting = Counting()
        self.stream = EventStream(self.counting)
        self.listener = HttpListener({"/": self.stream.handle}, Bounds(50, 10, 100), HttpStats())
        self.sockets: list[socket.socket] = []

    async def connect(self, *, slow: bool = False) -> socket.socket:
        """One that has asked."""
        one = socket.socket()
        if slow:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.setblocking(False)
        self.sockets.append(one)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, ("127.0.0.1", self.listener.port))
        await loop.sock_sendall(one, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return one


@pytest_asyncio.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """A stream that ticks fast."""
    monkeypatch.setattr(event_stream, "TICK_S", 0.001)
    made = Served()
    await made.listener.start("127.0.0.1", 0, reuse_port=False)
    yield made
    await made.stream.close()
    await made.listener.close()
    for one in made.sockets:
        one.close()


async def read(one: socket.socket, wanted: bytes) -> bytes:
    """What comes up to some text, or the end."""
    found = b""
    async with asyncio.timeout(30):
        while wanted not in found and (data := await asyncio.get_running_loop().sock_recv(one, 65536)):
            found += data
    return found


async def test_readers_get_what_is_new_and_later_ones_what_was(served: Served) -> None:
    """One publishes for all, from the first reader on to the last."""
    one = await served.connect()
    head = await read(one, b"3\n")
    assert b"Content-Type: text/event-stream" in head
    assert b"1\n" in head
    two = await served.connect()
    assert b"known up to " in await read(two, b"\n1")
    assert (served.stream.readers, served.counting.begun, served.counting.ended) == (2, 1, 0)
    one.close()
    two.close()
    await until(lambda: served.counting.ended == 1)
    assert served.stream.readers == 0
    await read(await served.connect(), b"1\n")
    assert served.counting.begun == 2


async def test_no_more_than_so_many_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told so, and when to come again; who asks otherwise than with GET is told that."""
    monkeypatch.setattr(event_stream, "READERS_MAX", 1)
    await read(await served.connect(), b"1\n")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{served.listener.port}/") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        async with session.post(f"http://127.0.0.1:{served.listener.port}/") as answer:
            assert answer.status == 405


async def test_one_that_does_not_read_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """When more than so many bytes wait for it; the others do not notice."""
    monkeypatch.setattr(event_stream, "HELD_BYTES_MAX", 300_000)
    served.counting.size = 100_000
    await served.connect(slow=True)
    await until(lambda: served.stream.readers == 1)
    quick = await served.connect()
    async with asyncio.timeout(30):
        while served.stream.readers != 1 or served.listener.stats.cx_active != 1:
            await asyncio.get_running_loop().sock_recv(quick, 1 << 20)
    assert await read(quick, b"\n")


async def test_one_that_takes_no_byte_for_so_long_is_cut_off(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where little waits for it."""
    monkeypatch.setattr(event_stream, "WRITE_S", 0.01)
    monkeypatch.setattr(event_stream, "TICK_S", 60)
    served.counting.size = 10_000_000
    monkeypatch.setattr(event_stream, "HELD_BYTES_MAX", 20_000_000)
    await served.connect(slow=True)
    await until(lambda: served.stream.readers == 1)
    async with asyncio.timeout(30):
        await until(lambda: served.stream.readers == 0)


async def test_streams_end_with_the_service(served: Served) -> None:
    """As a whole, with what was published; nobody begins another."""
    one = await served.connect()
    await read(one, b"1\n")
    await served.stream.close()
    assert b"0\r\n\r\n" in await read(one, b"0\r\n\r\n")
    assert served.counting.ended == 1
    assert b" 503 " in await read(await served.connect(), b"\r\n\r\n")


async def test_a_fault_ends_the_streams_and_nothing_else(served: Served) -> None:
    """It is logged, and the next reader begins anew."""
    served.counting.fault = RuntimeError("oops")
    with capture_logs() as logs:
        assert b"0\r\n\r\n" in await read(await served.connect(), b"\n0\r\n\r\n")
    assert [line["event"] for line in logs] == ["the events of the page ended unexpectedly"]
    served.counting.fault = None
    await read(await served.connect(), b"1\n")


async def test_a_tick_that_takes_long_makes_the_next_one_wait(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than LOOP_PART of the loop's time is the page's."""
    slept: list[float] = []
    moments = iter(range(1_000_000))
    monkeypatch.setattr("ratelimit.admin.event_stream.time.thread_time", lambda: next(moments) / 1000)
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(min(seconds, 0.001))

    monkeypatch.setattr("ratelimit.admin.event_stream.asyncio.sleep", sleep)
    await read(await served.connect(), b"2\n")
    monkeypatch.setattr("ratelimit.admin.event_stream.asyncio.sleep", real)
    assert pytest.approx(0.003 / event_stream.LOOP_PART) in slept


async def test_nothing_comes_after_the_end() -> None:
    """What waited is taken; a piece that comes later is not kept."""
    aborted: list[bool] = []
    reader = _Reader(lambda: aborted.append(True))
    reader.put(b"a")
    reader.end()
    reader.put(b"b")
    assert [await reader.take(), await reader.take()] == [b"a", b""]
    assert aborted == []
