"""What a hostile client does, and that it costs us little and others nothing (docs: SECURITY.md).

Each row floods a fresh server, in a process of its own, from one connection, while a victim calls on another one. The
server must end the connection, or bear it, within the bounds of `attacked.py`: CPU time, memory, the victim's answers.
The references are CVE numbers of other servers.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from ratelimit.settings import ServerSettings
from tests.wire import frames
from tests.wire.attacked import Attacked, attacked
from tests.wire.client import WireClient, connected
from tests.wire.conformance import BLOCK, BODY
from tests.wire.frames import Kind, continuation, data, frame, headers, literal
from tests.wire.served import ECHO
from tests.wire.victim import Victim

pytestmark = pytest.mark.integration

FLOOD = 200_000
IN_ONE_WRITE = 1_000
CALM = {ErrorCodes.ENHANCE_YOUR_CALM}
BROKEN = {ErrorCodes.COMPRESSION_ERROR, ErrorCodes.ENHANCE_YOUR_CALM}
HELD = data(1, frames.message(b"wait"), end=True)[9:]


async def flood(client: WireClient, pieces: Iterable[bytes]) -> None:
    """Send pieces, many in one write, until they or the connection are at their end."""
    together: list[bytes] = []
    for piece in pieces:
        together.append(piece)
        if len(together) == IN_ONE_WRITE:
            await client.send(*together)
            together.clear()
            if client.closed:
                return
    await client.send(*together)


def again(piece: bytes, first: bytes = b"", count: int = FLOOD) -> Callable[[], Iterator[bytes]]:
    """The same frame over and over."""

    def pieces() -> Iterator[bytes]:
        yield first
        for _ in range(count):
            yield piece

    return pieces


def streams(make: Callable[[int], bytes], count: int = FLOOD) -> Callable[[], Iterator[bytes]]:
    """What `make` makes of each new stream."""

    def pieces() -> Iterator[bytes]:
        for at in range(count):
            yield make(2 * at + 1)

    return pieces


def whole(stream: int) -> bytes:
    """A call whose answer never comes."""
    return headers(stream, BLOCK) + frame(Kind.DATA, HELD, stream=stream, flags=frames.END_STREAM)


def then(bad: Callable[[int], bytes], start: Callable[[int], bytes] = whole) -> Callable[[], Iterator[bytes]]:
    """A start on each new stream, and what makes the server reset it."""
    return streams(lambda stream: start(stream) + bad(stream))


OPEN = headers(1, BLOCK)
TINY = literal(b"a", b"")
# An entry that nearly fills the table of 4,096 bytes, and blocks that name it a thousand times.
BOMB = headers(1, literal(b"x-bomb", b"b" * 4000, first=0x40) + BLOCK, end=True)

FLOODS: dict[str, tuple[Callable[[], Iterator[bytes]], set[ErrorCodes]]] = {
    "rapid reset of whole calls (2023-44487)": (then(frames.rst_stream), CALM),
    "rapid reset of open calls (2023-44487)": (then(frames.rst_stream, partial(headers, block=BLOCK)), CALM),
    "MadeYouReset by WINDOW_UPDATE of 0 (2025-8671)": (then(lambda at: frames.window_update(at, 0)), CALM),
    "MadeYouReset by a window's overflow (2025-8671)": (then(lambda at: frames.window_update(at, 2**31 - 1)), CALM),
    "MadeYouReset by DATA after the end (2025-8671)": (then(lambda at: data(at, BODY)), CALM),
    "MadeYouReset by HEADERS after the end (2025-8671)": (then(lambda at: headers(at, BLOCK, end=True)), CALM),
    "MadeYouReset by PRIORITY of a wrong length (2025-8671)": (
        then(lambda at: frame(Kind.PRIORITY, b"\0" * 4, stream=at)),
        CALM,
    ),
    "MadeYouReset by PRIORITY on itself (2025-8671)": (then(lambda at: frames.priority(at, at)), CALM),
    "malformed requests": (streams(lambda at: headers(at, BLOCK + literal(b"UPPER", b""), end=True)), CALM),
    "requests beyond the streams that are allowed": (streams(whole), CALM),
    "empty CONTINUATION (2024-27316)": (again(continuation(1, b"", whole=False), headers(1, BLOCK, whole=False)), CALM),
    "full CONTINUATION (2023-45288)": (
        again(continuation(1, b"\0" * 2**14, whole=False), headers(1, BLOCK, whole=False), 1_000),
        CALM,
    ),
    "HPACK bomb (2016-6581)": (streams(lambda at: BOMB if at == 1 else headers(at, b"\xbe" * 9_000, end=True)), BROKEN),
    "names of no bytes (2019-9516)": (streams(lambda at: headers(at, b"\0\0\0" * 5_000, end=True)), BROKEN),
    "indexed names of no bytes (2019-9516)": (streams(lambda at: headers(at, b"\x40\0\0" * 5_000, end=True)), BROKEN),
    "integers without an end": (streams(lambda at: headers(at, b"\x7f" + b"\x80" * 16_000, end=True)), BROKEN),
    "tiny literals (2026-59980)": (streams(lambda at: headers(at, TINY * 4_000, end=True)), BROKEN),
    "table size updates in a row": (streams(lambda at: headers(at, b"\x20" * 16_000 + BLOCK, end=True)), BROKEN),
    "SETTINGS (2019-9515)": (again(frames.settings((SettingCodes.MAX_FRAME_SIZE, 2**14))), CALM),
    "SETTINGS of many values (2020-11080)": (again(frames.settings(*[(0xFF, 1)] * 2_700), count=2_000), CALM),
    "SETTINGS that change every window": (
        lambda: (each for at in range(FLOOD // 2) for each in (frames.settings((4, at)), frames.settings((4, 0)))),
        CALM,
    ),
    "SETTINGS with ACK": (again(frames.SETTINGS_ACK), CALM),
    "HEADER_TABLE_SIZE of 2^32-1": (again(frames.settings((SettingCodes.HEADER_TABLE_SIZE, 2**32 - 1))), CALM),
    "PING (2019-9512)": (again(frames.ping()), CALM),
    "PING with ACK": (again(frames.ping(ack=True)), CALM),
    "DATA of no bytes (2019-9518)": (again(data(1), OPEN), CALM),
    "DATA of one byte": (again(data(1, b"\0"), OPEN), CALM),
    "DATA of nothing but padding": (again(data(1, pad=10), OPEN), CALM),
    "DATA of a stream that is over": (
        again(data(1, b"\0"), whole(1) + frames.rst_stream(1)),
        CALM | {ErrorCodes.STREAM_CLOSED},
    ),
    "HEADERS of no bytes": (streams(lambda at: headers(at, b"", end=True)), CALM),
    "PRIORITY (2019-9513)": (again(frames.priority(1, 3)), CALM),
    "WINDOW_UPDATE of the connection": (again(frames.window_update(0, 1)), CALM),
    "WINDOW_UPDATE of a stream": (again(frames.window_update(1, 1), OPEN), CALM),
    "RST_STREAM of a stream that is over": (again(frames.rst_stream(1), whole(1)), CALM),
    "GOAWAY": (again(frames.goaway()), CALM),
    "unknown frames": (again(frame(Kind.UNKNOWN)), CALM),
    "unknown frames of 16 KiB": (again(frame(Kind.UNKNOWN, b"\0" * 2**14), count=20_000), CALM),
}


@contextlib.asynccontextmanager
async def attacker(server: Attacked, *settings: tuple[int, int]) -> AsyncIterator[WireClient]:
    """An opened connection to attack on."""
    async with connected(server.port) as client:
        await client.open(*settings)
        yield client


@pytest.mark.parametrize("row", FLOODS)
async def test_a_flood_is_ended(victim: Victim, row: str) -> None:
    """200,000 of a kind: soon the client is told why, and is cut off."""
    pieces, codes = FLOODS[row]
    async with attacked() as server, server.within_bounds(victim), attacker(server) as client:
        await flood(client, pieces())
        ending = await client.ending()
    assert ending.code in codes


ANSWERED = (
    "PING (2019-9512)",
    "SETTINGS (2019-9515)",
    "MadeYouReset by DATA after the end (2025-8671)",
    "requests beyond the streams that are allowed",
)


@pytest.mark.parametrize("row", ANSWERED)
async def test_a_flood_whose_answers_nobody_reads_is_ended(victim: Victim, row: str) -> None:
    """What is to be sent back is bounded, though it does not leave."""
    pieces, codes = FLOODS[row]
    async with attacked() as server, server.within_bounds(victim), attacker(server) as client:
        client.transport.pause_reading()
        await flood(client, pieces())
        client.transport.resume_reading()
        ending = await client.ending()
    # Who writes on while the server closes may lose what the server said last.
    assert ending.code in codes | {None}


def calls(count: int, size: int) -> Callable[[], Iterator[bytes]]:
    """Calls whose messages have so many bytes, in frames that are allowed."""
    message = frames.message(b"x" * size)
    cuts = range(0, len(message), 2**14)

    def one(stream: int) -> bytes:
        pieces = [data(stream, message[at : at + 2**14], end=at + 2**14 >= len(message)) for at in cuts]
        return headers(stream, BLOCK) + b"".join(pieces)

    return streams(one, count)


FIELDS = headers(1, BLOCK + b"\x90" * 80)[9:]
HOLDING: dict[str, tuple[Callable[[], Iterator[bytes]], list[tuple[int, int]]]] = {
    "answers that may not leave (2019-9517)": (calls(1_000, 4_000), [(SettingCodes.INITIAL_WINDOW_SIZE, 0)]),
    "large answers that may not leave (2019-9517)": (calls(1_000, 100_000), [(SettingCodes.INITIAL_WINDOW_SIZE, 0)]),
    "answers that leave byte by byte (2019-9511)": (calls(1_000, 1_000), [(SettingCodes.INITIAL_WINDOW_SIZE, 1)]),
    "many fields in each of many calls (2026-49975)": (
        streams(lambda at: frame(Kind.HEADERS, FIELDS, stream=at, flags=4), 5_000),
        [(SettingCodes.INITIAL_WINDOW_SIZE, 0)],
    ),
    "messages that never end": (
        streams(lambda at: headers(at, BLOCK) + data(at, frames.message(b"x" * 16_000, length=4_000_000)), 1_000),
        [],
    ),
}


@pytest.mark.parametrize("row", HOLDING)
async def test_what_a_client_makes_us_hold_is_bounded(victim: Victim, row: str) -> None:
    """Streams that stall, windows of nothing, messages that do not end: they are held within bounds, or ended."""
    pieces, settings = HOLDING[row]
    async with attacked() as server, server.within_bounds(victim), attacker(server, *settings) as client:
        await flood(client, pieces())
        await asyncio.sleep(0.2)  # what it holds is looked at for a while


async def test_a_client_that_does_not_read_is_cut_off(victim: Victim) -> None:
    """With windows of 2 GiB and answers of many MB that nobody reads (2016-1546): not held, and not for long."""
    wide = (SettingCodes.INITIAL_WINDOW_SIZE, 2**31 - 1)
    async with attacked(grpc_write_timeout=1) as server, server.within_bounds(victim), attacker(server, wide) as client:
        await client.send(frames.window_update(0, 2**30))
        client.transport.pause_reading()
        flooding = asyncio.ensure_future(flood(client, calls(1_000, 100_000)()))
        await gone(server, 1)
        client.transport.abort()
        await flooding


async def gone(server: Attacked, left: int) -> None:
    """Wait until the server has no more than so many connections."""
    async with asyncio.timeout(60):
        while server.connections() > left:  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)


async def nothing(_: Any) -> None:
    """Not a word."""


async def slowly(client: WireClient) -> None:
    """A preface, one byte in a while."""
    for at in range(len(frames.PREFACE)):
        await client.send(frames.PREFACE[at : at + 1])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.gone.wait(), 0.3)


async def half(client: WireClient) -> None:
    """The preface, and no SETTINGS."""
    await client.send(frames.PREFACE)


@pytest.mark.parametrize("say", [nothing, slowly, half])
async def test_a_client_that_does_not_open_is_cut_off(
    victim: Victim, say: Callable[[WireClient], Awaitable[None]]
) -> None:
    """Hundreds that say nothing, or a byte now and then, are gone when the time for the handshake is over."""
    async with (
        attacked(grpc_handshake_timeout=1) as server,
        server.within_bounds(victim),
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(connected(server.port)) for _ in range(300)]
        saying = asyncio.gather(*(say(client) for client in clients))
        for client in clients:
            await client.ending()
        await saying


HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # the beginning of a TLS ClientHello, and no more


async def hello(client: WireClient) -> None:
    """Begin a handshake of TLS."""
    client.transport.write(HELLO)


@pytest.mark.parametrize("say", [nothing, hello])
async def test_a_client_that_does_not_end_its_handshake_is_cut_off(
    victim: Victim, say: Callable[[WireClient], Awaitable[None]], tls_settings: ServerSettings
) -> None:
    """Behind TLS too: who says nothing, or half a ClientHello, is gone when the time for the handshake is over."""
    names = ("grpc_server_use_tls", "grpc_server_tls_cert", "grpc_server_tls_key")
    tls = {name: getattr(tls_settings, name) for name in names}
    async with (
        attacked(grpc_handshake_timeout=1, **tls) as server,
        server.within_bounds(victim, tls=True),
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(connected(server.port)) for _ in range(300)]
        await asyncio.gather(*(say(client) for client in clients))
        for client in clients:
            await client.ending()


async def test_more_connections_than_are_allowed_are_closed(victim: Victim) -> None:
    """Those that are there go on, and when some go, new ones are served."""
    async with attacked(grpc_max_connections=50) as server, server.within_bounds(victim):
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connected(server.port)) for _ in range(300)]
            for client in clients[49:]:
                await client.ending()
            await clients[0].open()
        await gone(server, 1)
        async with attacker(server) as client:
            assert (await client.answered(await client.call(ECHO, b"x"))).grpc_status == 0
