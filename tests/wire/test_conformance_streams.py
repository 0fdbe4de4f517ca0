"""RFC 9113, sections 3 to 5: the preface, the format of frames, header blocks, and the states of streams."""

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from tests.wire import frames
from tests.wire.client import Ending, WireClient
from tests.wire.conformance import (
    BLOCK,
    BODY,
    CALL,
    HELD,
    OPEN,
    Answered,
    Borne,
    Case,
    Closed,
    EitherError,
    Ended,
    Fatal,
    Reset,
    StreamError,
    hold,
    table,
)
from tests.wire.frames import Kind, data, frame, headers
from tests.wire.served import ECHO

PROTOCOL = ErrorCodes.PROTOCOL_ERROR
SIZE = ErrorCodes.FRAME_SIZE_ERROR
COMPRESSION = ErrorCodes.COMPRESSION_ERROR
GONE = ErrorCodes.STREAM_CLOSED
OPENING = frames.PREFACE + frames.settings()

PREFACES = table(
    Case("3.4 preface, SETTINGS and a call at once, before the server's SETTINGS", OPENING + CALL, Answered()),
    Case("3.4 SETTINGS with values", frames.PREFACE + frames.settings((3, 100), (4, 65_535)) + CALL, Answered()),
    Case("3.4 another preface", b"INVALID CONNECTION PREFACE\r\n\r\n", Closed()),
    Case("3.4 a preface that goes wrong at its end", frames.PREFACE[:-1] + b"x" + frames.settings(), Closed()),
    Case("3.4 a request of HTTP/1.1", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Closed()),
    Case("3.4 PING before SETTINGS", frames.PREFACE + frames.ping(), Fatal(PROTOCOL)),
    Case("3.4 HEADERS before SETTINGS", frames.PREFACE + CALL, Fatal(PROTOCOL)),
    Case("3.4 an acknowledgement before SETTINGS", frames.PREFACE + frames.SETTINGS_ACK, Fatal(PROTOCOL)),
)


@PREFACES
async def test_a_connection_begins_with_the_preface(unopened: WireClient, case: Case) -> None:
    """Section 3.4: the client's magic and SETTINGS come first, and anything may follow at once."""
    await hold(case, unopened)


UNKNOWN = frame(Kind.UNKNOWN, b"whatever", stream=1, flags=0xFF)
HALF_BLOCK = headers(1, BLOCK[:10], whole=False)
REST = frames.continuation(1, BLOCK[10:]) + data(1, BODY, end=True)

FORMATS = table(
    Case("4.1 a frame of an unknown kind", UNKNOWN + CALL, Answered()),
    Case("4.1 flags that nobody defined", frame(Kind.PING, b"12345678", flags=0xFE) + CALL, Answered()),
    Case("4.1 DATA with flags that nobody defined", OPEN + frame(0, BODY, stream=1, flags=0xF7), Answered()),
    Case("4.1 the reserved bit of a stream", OPEN + frame(0, BODY, stream=1 << 31 | 1, flags=1), Answered()),
    Case("4.1 the reserved bit of the connection", frame(Kind.PING, b"12345678", stream=1 << 31) + CALL, Answered()),
    Case("4.2 DATA of 2^14 bytes", OPEN + data(1, frames.message(b"x" * (2**14 - 5)), end=True), Answered()),
    Case("4.2 DATA that are too large", OPEN + data(1, b"x" * (2**14 + 1)), EitherError(SIZE)),
    Case("4.2 HEADERS that are too large", headers(1, BLOCK + b"x" * 2**14), Fatal(SIZE)),
    Case("4.2 SETTINGS that are too large", frames.settings(*[(0xFF, 0)] * 2731), Fatal(SIZE)),
    Case("4.2 an unknown frame that is too large", frame(Kind.UNKNOWN, b"x" * (2**14 + 1)), Fatal(SIZE)),
    Case("4.2 a size alone tells", frame(Kind.UNKNOWN, length=2**24 - 1), Fatal(SIZE)),
    Case("4.3 a block that ends within a field", headers(1, b"\x40\x05abc"), Fatal(COMPRESSION)),
    Case("4.3 a block in two pieces", HALF_BLOCK + REST, Answered()),
    *(
        Case(f"4.3 {name} within a block", HALF_BLOCK + between + REST, Fatal(PROTOCOL))
        for name, between in {
            "PRIORITY": frames.priority(1),
            "HEADERS of another stream": headers(3, BLOCK),
            "HEADERS of the same stream": headers(1, BLOCK),
            "DATA": data(1, BODY),
            "DATA of another stream": data(3, BODY),
            "RST_STREAM": frames.rst_stream(1),
            "SETTINGS": frames.settings(),
            "PING": frames.ping(),
            "WINDOW_UPDATE": frames.window_update(0, 1),
            "CONTINUATION of another stream": frames.continuation(3, BLOCK),
            "an unknown frame": UNKNOWN,
        }.items()
    ),
)


@FORMATS
async def test_frames_have_their_format(client: WireClient, case: Case) -> None:
    """Section 4: kinds, flags and bits that nobody defined are ignored; sizes and the order of a block are not."""
    await hold(case, client)


TRAILERS = headers(1, frames.block([(b"x-trailer", b"1")]), end=True)
ANSWERED = (CALL, Ended(1))
CANCELLED = HELD + frames.rst_stream(1)
MALFORMED = headers(1, frames.block([(b"UPPER", b"1")]))

STATES = table(
    Case("5.1 idle: DATA", data(1, BODY), Fatal(PROTOCOL)),
    Case("5.1 idle: DATA of no bytes", data(1), Fatal(PROTOCOL)),
    Case("5.1 idle: RST_STREAM", frames.rst_stream(1), Fatal(PROTOCOL)),
    Case("5.1 idle: WINDOW_UPDATE", frames.window_update(1, 1), Fatal(PROTOCOL)),
    Case("5.1 idle: CONTINUATION", frames.continuation(1, BLOCK), Fatal(PROTOCOL)),
    Case("5.1 idle: PUSH_PROMISE", frame(Kind.PUSH_PROMISE, b"\0\0\0\2", stream=1, flags=4), Fatal(PROTOCOL)),
    Case("5.1 idle: PRIORITY", frames.priority(1) + CALL, Answered()),
    Case("5.1 idle: a frame of a stream of the server", data(2, BODY), Fatal(PROTOCOL)),
    Case("5.1 open: the whole way", OPEN + data(1, BODY[:3]) + data(1, BODY[3:]) + TRAILERS, Answered()),
    Case("5.1 open: WINDOW_UPDATE", OPEN + frames.window_update(1, 9) + data(1, BODY, end=True), Answered()),
    Case("5.1 open: PRIORITY", OPEN + frames.priority(1, 3) + data(1, BODY, end=True), Answered()),
    Case("5.1 open: RST_STREAM", OPEN + frames.rst_stream(1), Borne()),
    Case("5.1 half-closed: DATA", HELD + data(1, BODY, end=True), StreamError(GONE)),
    Case("5.1 half-closed: HEADERS", HELD + TRAILERS, StreamError(GONE)),
    Case("5.1 half-closed: CONTINUATION", HELD + frames.continuation(1, BLOCK), Fatal(PROTOCOL, GONE)),
    Case("5.1 half-closed: WINDOW_UPDATE", HELD + frames.window_update(1, 9), Borne()),
    Case("5.1 half-closed: PRIORITY", HELD + frames.priority(1, 3), Borne()),
    Case("5.1 half-closed: RST_STREAM", HELD + frames.rst_stream(1), Borne()),
    Case("5.1 answered: DATA", (*ANSWERED, data(1, BODY)), EitherError(GONE)),
    Case("5.1 answered: HEADERS", (*ANSWERED, TRAILERS), EitherError(GONE)),
    Case("5.1 answered: CONTINUATION", (*ANSWERED, frames.continuation(1, BLOCK)), Fatal(PROTOCOL, GONE)),
    Case("5.1 answered: WINDOW_UPDATE", (*ANSWERED, frames.window_update(1, 9)), Borne()),
    Case("5.1 answered: RST_STREAM", (*ANSWERED, frames.rst_stream(1)), Borne()),
    Case("5.1 answered: PRIORITY", (*ANSWERED, frames.priority(1, 3)), Borne()),
    Case("5.1 reset by the client: DATA", CANCELLED + data(1, BODY), EitherError(GONE)),
    Case("5.1 reset by the client: HEADERS", CANCELLED + TRAILERS, EitherError(GONE)),
    Case("5.1 reset by the client: CONTINUATION", CANCELLED + frames.continuation(1, BLOCK), Fatal(PROTOCOL, GONE)),
    Case("5.1 reset by the client: WINDOW_UPDATE", CANCELLED + frames.window_update(1, 9), Borne()),
    Case("5.1 reset by the client: RST_STREAM", CANCELLED + frames.rst_stream(1), Borne()),
    Case("5.1 reset by the client: PRIORITY", CANCELLED + frames.priority(1, 3), Borne()),
    *(
        Case(f"5.1 reset by the server: {name}", (MALFORMED, Reset(1), late), StreamError(PROTOCOL))
        for name, late in {
            "DATA": data(1, BODY, end=True),
            "trailers": TRAILERS,
            "WINDOW_UPDATE": frames.window_update(1, 9),
            "RST_STREAM": frames.rst_stream(1),
            "PRIORITY": frames.priority(1, 3),
        }.items()
    ),
)


@STATES
async def test_a_state_says_which_frames_may_come(client: WireClient, case: Case) -> None:
    """Section 5.1, state by state. What a client sent before it read our RST_STREAM is no fault of its."""
    await hold(case, client)


LAST = 2**31 - 1
IDENTIFIERS = table(
    Case("5.1.1 HEADERS of an even stream", headers(2, BLOCK), Fatal(PROTOCOL)),
    Case("5.1.1 HEADERS of stream 0", headers(0, BLOCK), Fatal(PROTOCOL)),
    Case(
        "5.1.1 streams may be skipped", frames.unary(101, ECHO, b"") + frames.unary(999, ECHO, b""), Answered(101, 999)
    ),
    Case("5.1.1 a stream below the last one", frames.unary(5, ECHO, b"") + headers(3, BLOCK), Fatal(PROTOCOL, GONE)),
    Case(
        "5.1.1 DATA of a stream that was skipped",
        frames.unary(5, ECHO, b"") + data(3, BODY),
        EitherError(GONE, stream=3),
    ),
    Case("5.1.1 the largest stream", frames.unary(LAST, ECHO, b""), Answered(LAST)),
    Case(
        "5.3 a stream that depends on itself", headers(1, BLOCK, priority=frames.dependency(1)), StreamError(PROTOCOL)
    ),
    Case("5.3 an open stream comes to depend on itself", OPEN + frames.priority(1, 1), StreamError(PROTOCOL)),
    Case("5.3 an idle stream that depends on itself", frames.priority(3, 3), EitherError(PROTOCOL, stream=3)),
    Case(
        "5.3 the lightest and the heaviest",
        frames.priority(1, weight=1) + frames.priority(3, weight=256) + CALL,
        Answered(),
    ),
    Case("5.3 exclusive", frames.priority(1, 5, exclusive=True) + CALL, Answered()),
    Case("5.3 PRIORITY of a later stream first", frames.priority(9, 7) + CALL, Answered()),
)


@IDENTIFIERS
async def test_streams_have_their_numbers(client: WireClient, case: Case) -> None:
    """Sections 5.1.1 and 5.3: odd, rising, not on themselves."""
    await hold(case, client)


async def test_more_streams_than_announced_are_refused(client: WireClient) -> None:
    """Section 5.1.2: REFUSED_STREAM, so that the client may try elsewhere; the others wait on."""
    announced = client.server_settings[SettingCodes.MAX_CONCURRENT_STREAMS]
    await client.alive()  # our acknowledgement was read
    waiting = b"".join(frames.unary(stream, ECHO, b"wait") for stream in range(1, 2 * announced, 2))
    await client.send(waiting)
    await client.call(ECHO, b"one more", stream=2 * announced + 1)
    assert await client.reset(2 * announced + 1) in {ErrorCodes.REFUSED_STREAM, PROTOCOL}
    assert [stream for stream, reply in client.replies.items() if reply.ended] == [2 * announced + 1]
    await client.send(frames.rst_stream(1))


async def test_goaway_tells_the_last_stream(client: WireClient) -> None:
    """Section 5.4.1: what came after it was never looked at; then the connection ends."""
    await client.send(frames.unary(7, ECHO, b"wait"), frame(Kind.PING, b"short"))
    assert await client.ending() == Ending(SIZE)
    told = [each for each in client.frames if isinstance(each, GoAwayFrame)]
    assert [each.last_stream_id for each in told] == [7]


@pytest.mark.parametrize("count", [1, 3])
async def test_unknown_frames_do_not_disturb(client: WireClient, count: int) -> None:
    """Section 5.5: extensions are ignored wherever they come outside of a header block."""
    for _ in range(count):
        await client.send(UNKNOWN)
        assert (await client.answered(await client.call(ECHO, b"x"))).messages == [b"x"]
