import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import structlog

from deploy.demo.processes import LOOPBACK, free_port
from ratelimit.metrics import StoreStats
from ratelimit.stores.memcached.server import Server

COUNTED = b"VA 1\r\n1\r\n"


class Scripted:
    """A server that answers each probe with the next of `answers`, the last one again and again; None hangs up."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.probes: list[bytes] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        self._writers.append(writer)
        while line := await reader.readline():
            self.probes.append(line)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                break
            writer.write(answer)
        writer.close()

    def hang_up(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.close()


Listener = Callable[[Scripted], Awaitable[int]]


class Made:
    """A `Server` on a scripted one, and its log."""

    def __init__(self, port: int) -> None:
        self.changed: asyncio.Queue[bool] = asyncio.Queue()
        self.stats = StoreStats()
        self.server = Server(
            (LOOPBACK, port), b"ready", 1, self.stats, lambda: self.changed.put_nowait(self.server.connected)
        )
        self.server.start()

    async def connected(self, state: bool = True) -> None:
        """Wait for the next change, which must be to `state`."""
        assert await asyncio.wait_for(self.changed.get(), 30) is state


@pytest_asyncio.fixture
async def listener() -> AsyncIterator[Listener]:
    """Starts scripted servers and ends them."""
    started: list[tuple[asyncio.Server, Scripted]] = []

    async def start(scripted: Scripted) -> int:
        server = await asyncio.start_server(scripted.serve, LOOPBACK, 0)
        started.append((server, scripted))
        return int(server.sockets[0].getsockname()[1])

    yield start
    for server, scripted in started:
        server.close()
        scripted.hang_up()
        await server.wait_closed()


@pytest.mark.parametrize("answer", [COUNTED, b"SERVER_ERROR out of memory storing object\r\n"])
async def test_ready_means_that_it_counts(listener: Listener, answer: bytes) -> None:
    """A hit on a key of ours was counted, or would be but for its memory, which passes; the key goes by itself."""
    scripted = Scripted(answer)
    made = Made(await listener(scripted))
    await made.connected()
    assert scripted.probes == [b"ma ready N2 J1 D1 v\r\n"]
    assert (made.stats.cx_total, made.stats.cx_active) == (1, 1)
    await made.server.close()
    assert (made.stats.cx_active, made.stats.cx_local_close) == (0, 1)


async def test_a_server_that_is_too_old_says_so(listener: Listener) -> None:
    """Before 1.6 memcached knows no meta commands; one line, and used when it was replaced."""
    with structlog.testing.capture_logs() as logs:
        made = Made(await listener(Scripted(b"ERROR\r\n", b"ERROR\r\n", b"-ERR\r\n", None, COUNTED)))
        await made.connected()
        await made.server.close()
    warned = [each for each in logs if each["log_level"] == "warning"]
    assert [each["event"] for each in warned] == ["the store is away", "the store is back"]
    assert warned[0]["reason"] == "the store refused: ERROR; memcached 1.6 or later is wanted"
    still = [each["reason"] for each in logs if each["event"] == "the store is still away"]
    assert still[0].startswith("lost the connection")
    assert len(logs) == 2 + len(still)


async def test_a_lost_connection_is_opened_again(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line when it goes and one when it is back; a connection that held for a while is tried again soon."""
    monkeypatch.setattr("ratelimit.stores.memcached.server.RECONNECT_MAX_S", 0)
    scripted = Scripted(COUNTED)
    with structlog.testing.capture_logs() as logs:
        made = Made(await listener(scripted))
        await made.connected()
        scripted.hang_up()
        await made.connected(False)
        await made.connected()
        await made.server.close()
    assert [each["event"] for each in logs] == ["connected to the store", "the store is away", "the store is back"]
    assert made.stats.cx_total == 2


async def test_a_connection_that_is_lost_with_its_first_answer_is_none(listener: Listener) -> None:
    """Nobody is told of it, and it does not count as open."""
    made = Made(await listener(Scripted(COUNTED + b"EN\r\n", COUNTED)))
    await made.connected()
    assert (made.stats.cx_total, made.stats.cx_active) == (1, 1)
    await made.server.close()
    assert made.stats.cx_active == 0


async def test_it_closes_while_it_connects() -> None:
    """A server that is not there holds no stop."""
    made = Made(free_port())
    await asyncio.sleep(0)
    await made.server.close()
    unstarted = Server((LOOPBACK, 1), b"ready", 1, StoreStats(), lambda: None)
    await unstarted.close()
    assert not unstarted.connected
