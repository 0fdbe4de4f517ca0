"""RFC 9113, sections 6 and 7: each kind of frame, its stream, its length and what it may say."""

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import PingFrame, SettingsFrame

from tests.wire import frames
from tests.wire.client import WireClient
from tests.wire.conformance import (
    BLOCK,
    BODY,
    CALL,
    HELD,
    OPEN,
    Answered,
    Borne,
    BorneOrClosed,
    Case,
    EitherError,
    Ended,
    Fatal,
    StreamError,
    hold,
    table,
)
from tests.wire.frames import Kind, data, frame, headers
from tests.wire.served import ECHO

PROTOCOL = ErrorCodes.PROTOCOL_ERROR
SIZE = ErrorCodes.FRAME_SIZE_ERROR
FLOW = ErrorCodes.FLOW_CONTROL_ERROR
CALM = ErrorCodes.ENHANCE_YOUR_CALM
GONE = ErrorCodes.STREAM_CLOSED
END_OF_BODY = data(1, BODY, end=True)


def payload(kind: Kind, content: bytes, *, stream: int = 1, flags: int = 0) -> bytes:
    """A frame whose payload is written by hand."""
    return frame(kind, content, stream=stream, flags=flags)


DATA = table(
    Case("6.1 one frame", OPEN + END_OF_BODY, Answered()),
    Case("6.1 many frames", OPEN + b"".join(data(1, bytes((byte,))) for byte in BODY) + data(1, end=True), Answered()),
    Case("6.1 padding", OPEN + data(1, BODY, end=True, pad=10), Answered()),
    Case("6.1 padding of no bytes", OPEN + data(1, BODY, end=True, pad=0), Answered()),
    Case("6.1 nothing but padding", OPEN + data(1, pad=255) + END_OF_BODY, Answered()),
    Case("6.1 as much padding as there is frame", OPEN + payload(Kind.DATA, b"\x03ab", flags=8), Fatal(PROTOCOL)),
    Case("6.1 padding that is longer than the frame", OPEN + payload(Kind.DATA, b"\xffab", flags=8), Fatal(PROTOCOL)),
    Case("6.1 padding without its length", OPEN + payload(Kind.DATA, b"", flags=8), Fatal(PROTOCOL, SIZE)),
    Case("6.1 stream 0", data(0, BODY), Fatal(PROTOCOL)),
    Case("6.1 a stream that is not open", HELD + data(1, b""), StreamError(GONE)),
)

PRIORITISED = frames.dependency(0, weight=200)
HEADERS = table(
    Case("6.2 one frame", CALL, Answered()),
    Case("6.2 padding", headers(1, BLOCK, pad=100) + END_OF_BODY, Answered()),
    Case("6.2 priority", headers(1, BLOCK, priority=PRIORITISED) + END_OF_BODY, Answered()),
    Case("6.2 padding and priority", headers(1, BLOCK, pad=3, priority=PRIORITISED) + END_OF_BODY, Answered()),
    Case(
        "6.2 padding in the first piece",
        headers(1, BLOCK[:9], pad=9, whole=False) + frames.continuation(1, BLOCK[9:]) + END_OF_BODY,
        Answered(),
    ),
    Case(
        "6.2 no padding that is longer than the frame",
        payload(Kind.HEADERS, b"\x09" + BLOCK[:5], flags=12),
        Fatal(PROTOCOL),
    ),
    Case("6.2 no padding without its length", payload(Kind.HEADERS, b"", flags=12), Fatal(PROTOCOL, SIZE)),
    Case("6.2 no priority that is cut", payload(Kind.HEADERS, b"\0\0\0", flags=0x24), Fatal(PROTOCOL, SIZE)),
    Case("6.2 stream 0", headers(0, BLOCK), Fatal(PROTOCOL)),
    Case("6.2 another stream within a block", headers(1, BLOCK, whole=False) + headers(3, BLOCK), Fatal(PROTOCOL)),
)

RESETS = table(
    Case("6.3 PRIORITY of stream 0", frames.priority(0, 1), Fatal(PROTOCOL)),
    Case("6.3 PRIORITY of 4 bytes", OPEN + payload(Kind.PRIORITY, b"\0" * 4), EitherError(SIZE)),
    Case("6.3 PRIORITY of 6 bytes", OPEN + payload(Kind.PRIORITY, b"\0" * 6), EitherError(SIZE)),
    Case("6.4 RST_STREAM", HELD + frames.rst_stream(1) + frames.unary(3, ECHO, b""), Answered(3)),
    Case("6.4 RST_STREAM of stream 0", frames.rst_stream(0), Fatal(PROTOCOL)),
    Case("6.4 RST_STREAM of an idle stream", frames.rst_stream(1), Fatal(PROTOCOL)),
    Case("6.4 RST_STREAM of 3 bytes", HELD + payload(Kind.RST_STREAM, b"\0" * 3), Fatal(SIZE)),
    Case("6.4 RST_STREAM of 5 bytes", HELD + payload(Kind.RST_STREAM, b"\0" * 5), Fatal(SIZE)),
    Case("7 RST_STREAM with a code that nobody defined", HELD + frames.rst_stream(1, 0xFF), Borne()),
)

S = SettingCodes
SETTINGS = table(
    Case("6.5 no settings", frames.settings() + CALL, Answered()),
    Case("6.5 one after the other", frames.settings((S.ENABLE_PUSH, 0)) * 3 + CALL, Answered()),
    Case("6.5 an acknowledgement with a payload", payload(Kind.SETTINGS, b"\0", stream=0, flags=1), Fatal(SIZE)),
    Case("6.5 on a stream", payload(Kind.SETTINGS, b""), Fatal(PROTOCOL)),
    Case("6.5 no multiple of 6 bytes", payload(Kind.SETTINGS, b"\0\3\0", stream=0), Fatal(SIZE)),
    Case("6.5.2 ENABLE_PUSH 2", frames.settings((S.ENABLE_PUSH, 2)), Fatal(PROTOCOL)),
    Case("6.5.2 INITIAL_WINDOW_SIZE 2^31", frames.settings((S.INITIAL_WINDOW_SIZE, 2**31)), Fatal(FLOW)),
    Case("6.5.2 INITIAL_WINDOW_SIZE 2^31-1", frames.settings((S.INITIAL_WINDOW_SIZE, 2**31 - 1)) + CALL, Answered()),
    Case("6.5.2 MAX_FRAME_SIZE 2^14-1", frames.settings((S.MAX_FRAME_SIZE, 2**14 - 1)), Fatal(PROTOCOL)),
    Case("6.5.2 MAX_FRAME_SIZE 2^24", frames.settings((S.MAX_FRAME_SIZE, 2**24)), Fatal(PROTOCOL)),
    Case("6.5.2 MAX_FRAME_SIZE 2^24-1", frames.settings((S.MAX_FRAME_SIZE, 2**24 - 1)) + CALL, Answered()),
    Case("6.5.2 HEADER_TABLE_SIZE 2^32-1", frames.settings((S.HEADER_TABLE_SIZE, 2**32 - 1)) + CALL, Answered()),
    Case("6.5.2 HEADER_TABLE_SIZE 0", frames.settings((S.HEADER_TABLE_SIZE, 0)) + CALL, Answered()),
    Case("6.5.2 MAX_CONCURRENT_STREAMS 0", frames.settings((S.MAX_CONCURRENT_STREAMS, 0)) + CALL, Answered()),
    Case("6.5.2 MAX_HEADER_LIST_SIZE 0", frames.settings((S.MAX_HEADER_LIST_SIZE, 0)) + CALL, Answered()),
    Case("6.5.2 a setting that nobody defined", frames.settings((0xFF, 1)) + CALL, Answered()),
    Case(
        "6.5.2 the first of two values is wrong",
        frames.settings((S.ENABLE_PUSH, 9), (S.ENABLE_PUSH, 0)),
        Fatal(PROTOCOL),
    ),
    Case("6.6 PUSH_PROMISE", OPEN + payload(Kind.PUSH_PROMISE, b"\0\0\0\2" + BLOCK, flags=4), Fatal(PROTOCOL)),
)

PINGS = table(
    Case("6.7 an acknowledgement that nobody waits for", frames.ping(ack=True) + CALL, Answered()),
    Case("6.7 on a stream", payload(Kind.PING, b"12345678"), Fatal(PROTOCOL)),
    Case("6.7 of 7 bytes", payload(Kind.PING, b"1234567", stream=0), Fatal(SIZE)),
    Case("6.7 of 9 bytes", payload(Kind.PING, b"123456789", stream=0), Fatal(SIZE)),
    Case("6.8 GOAWAY on a stream", payload(Kind.GOAWAY, b"\0" * 8), Fatal(PROTOCOL)),
    Case("6.8 GOAWAY of 7 bytes", payload(Kind.GOAWAY, b"\0" * 7, stream=0), Fatal(SIZE)),
    Case("6.8 GOAWAY", frames.goaway(), BorneOrClosed()),
    Case("6.8 GOAWAY with a reason", frames.goaway(0, 0, b"enough"), BorneOrClosed()),
    Case("7 GOAWAY with a code that nobody defined", frames.goaway(0, 0xFF), BorneOrClosed()),
)

MAX = 2**31 - 1
WINDOWS = table(
    Case("6.9 of the connection", frames.window_update(0, 1) + CALL, Answered()),
    Case("6.9 of a stream", OPEN + frames.window_update(1, 1) + END_OF_BODY, Answered()),
    Case("6.9 the reserved bit", frames.window_update(0, 2**31 | 1) + CALL, Answered()),
    Case("6.9 by 0 of the connection", frames.window_update(0, 0), Fatal(PROTOCOL)),
    Case("6.9 by 0 of a stream", OPEN + frames.window_update(1, 0), StreamError(PROTOCOL)),
    Case("6.9 by 0 of a stream whose call is held", HELD + frames.window_update(1, 0), StreamError(PROTOCOL)),
    Case("6.9 of 3 bytes", payload(Kind.WINDOW_UPDATE, b"\0\0\1", stream=0), Fatal(SIZE)),
    Case("6.9 of 5 bytes on a stream", OPEN + payload(Kind.WINDOW_UPDATE, b"\0\0\0\0\1"), Fatal(SIZE)),
    Case("6.9.1 above 2^31-1", frames.window_update(0, MAX), Fatal(FLOW)),
    Case("6.9.1 above 2^31-1 in steps", frames.window_update(0, MAX // 2) * 3, Fatal(FLOW)),
    Case("6.9.1 up to 2^31-1", frames.window_update(0, MAX - 65_535) + CALL, Answered()),
    Case("6.9.1 above 2^31-1 of a stream", OPEN + frames.window_update(1, MAX), StreamError(FLOW)),
    Case("6.9.1 above 2^31-1 of a stream in steps", HELD + frames.window_update(1, MAX // 2) * 3, StreamError(FLOW)),
    Case(
        "6.9.2 INITIAL_WINDOW_SIZE lifts a stream above 2^31-1",
        HELD + frames.window_update(1, MAX - 65_535) + frames.settings((S.INITIAL_WINDOW_SIZE, 65_536)),
        Fatal(FLOW),
    ),
)


def cut(pieces: int, *, empty: bool = False) -> bytes:
    """A whole call whose block is cut into a first piece and so many more."""
    step = 0 if empty else len(BLOCK) // (pieces + 1)
    more = [frames.continuation(1, BLOCK[at * step : at * step + step], whole=False) for at in range(1, pieces)]
    return headers(1, BLOCK[:step], whole=False) + b"".join(more) + frames.continuation(1, BLOCK[pieces * step :])


CONTINUATIONS = table(
    Case("6.10 one", cut(1) + END_OF_BODY, Answered()),
    Case("6.10 two", cut(2) + END_OF_BODY, Answered()),
    Case("6.10 seven", cut(7) + END_OF_BODY, Answered()),
    Case(
        "6.10 the end of the stream stands in HEADERS",
        headers(1, BLOCK[:9], end=True, whole=False) + frames.continuation(1, BLOCK[9:]) + frames.unary(3, ECHO, b""),
        Answered(3),
    ),
    Case(
        "6.10 more than eight", headers(1, b"", whole=False) + frames.continuation(1, b"", whole=False) * 9, Fatal(CALM)
    ),
    Case(
        "6.10 more than 16 KiB",
        headers(1, BLOCK, whole=False) + frames.continuation(1, b"\0" * 9000, whole=False) * 2,
        Fatal(CALM),
    ),
    Case("6.10 stream 0", headers(1, BLOCK[:9], whole=False) + frames.continuation(0, BLOCK[9:]), Fatal(PROTOCOL)),
    Case("6.10 after a whole block", OPEN + frames.continuation(1, BLOCK), Fatal(PROTOCOL)),
    Case("6.10 after a block that CONTINUATION ended", cut(1) + frames.continuation(1, BLOCK), Fatal(PROTOCOL)),
    Case("6.10 after DATA", OPEN + data(1, BODY) + frames.continuation(1, BLOCK), Fatal(PROTOCOL)),
    Case("6.10 after an answer", (CALL, Ended(1), frames.continuation(1, BLOCK)), Fatal(PROTOCOL, GONE)),
)


@DATA
async def test_data(client: WireClient, case: Case) -> None:
    """Section 6.1."""
    await hold(case, client)


@HEADERS
async def test_headers(client: WireClient, case: Case) -> None:
    """Section 6.2."""
    await hold(case, client)


@RESETS
async def test_priority_and_rst_stream(client: WireClient, case: Case) -> None:
    """Sections 6.3 and 6.4."""
    await hold(case, client)


@SETTINGS
async def test_settings(client: WireClient, case: Case) -> None:
    """Sections 6.5 and 6.6."""
    await hold(case, client)


@PINGS
async def test_ping_and_goaway(client: WireClient, case: Case) -> None:
    """Sections 6.7 and 6.8."""
    await hold(case, client)


@WINDOWS
async def test_window_update(client: WireClient, case: Case) -> None:
    """Section 6.9."""
    await hold(case, client)


@CONTINUATIONS
async def test_continuation(client: WireClient, case: Case) -> None:
    """Section 6.10, and our own bound."""
    await hold(case, client)


@pytest.mark.parametrize("count", [1, 3])
async def test_each_settings_is_acknowledged(client: WireClient, count: int) -> None:
    """Section 6.5.3: once for each, and without a payload."""
    await client.send(frames.settings((S.MAX_FRAME_SIZE, 2**15)) * count)
    await client.alive()
    told = [each for each in client.frames if isinstance(each, SettingsFrame) and "ACK" in each.flags]
    assert len(told) == 1 + count


async def test_a_ping_comes_back_as_it_was(client: WireClient) -> None:
    """Section 6.7: the same eight bytes, with ACK, in order."""
    await client.send(frames.ping(b"first..."), frames.ping(b"second.."))
    await client.alive()
    assert client.acknowledged[:2] == [b"first...", b"second.."]
    assert all(each.stream_id == 0 for each in client.frames if isinstance(each, PingFrame))


async def test_calls_before_goaway_are_answered(client: WireClient) -> None:
    """Section 6.8: a client that will open no more streams still waits for those that it has."""
    await client.send(OPEN, frames.goaway(), END_OF_BODY)
    assert (await client.answered(1)).messages == [b"x"]
