import struct
from collections.abc import Callable

import pytest

from ratelimit.transport import frames
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.housekeeping import GRANT, PAID_BACK, Caps, plain
from tests.transport.core import MESSAGE, Client, data, headers, id_of, request_fields, rst, whole

ZERO = id_of(0)
OPEN = headers(1, request_fields())


def settings_of(*pairs: tuple[int, int], flags: int = 0) -> bytes:
    """A SETTINGS frame; a name may come twice."""
    return frames.frame(frames.SETTINGS, flags, ZERO, b"".join(struct.pack(">HL", *pair) for pair in pairs))


def ping(payload: bytes, *, ack: bool = False, stream: int = 0) -> bytes:
    """A PING frame."""
    return frames.frame(frames.PING, frames.ACK if ack else 0, id_of(stream), payload)


def priority(stream: int, payload: bytes) -> bytes:
    """A PRIORITY frame."""
    return frames.frame(frames.PRIORITY, 0, id_of(stream), payload)


CONNECTION_ERRORS = {
    "PRIORITY on stream 0": (priority(0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM on stream 0": (rst(0), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (rst(3), ErrorCode.PROTOCOL_ERROR),
    "RST_STREAM too short": (frames.frame(frames.RST_STREAM, 0, id_of(1), b"abc"), ErrorCode.FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (frames.frame(frames.SETTINGS, 0, id_of(1)), ErrorCode.PROTOCOL_ERROR),
    "SETTINGS of five bytes": (frames.frame(frames.SETTINGS, 0, ZERO, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
    "an ACK with settings": (settings_of((3, 1), flags=frames.ACK), ErrorCode.FRAME_SIZE_ERROR),
    "ENABLE_PUSH 2": (settings_of((frames.ENABLE_PUSH, 2)), ErrorCode.PROTOCOL_ERROR),
    "too wide a window": (settings_of((frames.INITIAL_WINDOW_SIZE, 2**31)), ErrorCode.FLOW_CONTROL_ERROR),
    "too small a frame": (settings_of((frames.MAX_FRAME_SIZE, 16_383)), ErrorCode.PROTOCOL_ERROR),
    "too large a frame": (settings_of((frames.MAX_FRAME_SIZE, 2**24)), ErrorCode.PROTOCOL_ERROR),
    "PUSH_PROMISE": (frames.frame(frames.PUSH_PROMISE, 0, id_of(1), bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "PING on a stream": (ping(bytes(8), stream=1), ErrorCode.PROTOCOL_ERROR),
    "PING of seven bytes": (ping(bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "GOAWAY on a stream": (frames.frame(frames.GOAWAY, 0, id_of(1), bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "GOAWAY too short": (frames.frame(frames.GOAWAY, 0, ZERO, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE too short": (frames.frame(frames.WINDOW_UPDATE, 0, ZERO, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    "a window update of nought": (frames.window_update(ZERO, 0), ErrorCode.PROTOCOL_ERROR),
    "nought but the reserved bit": (frames.window_update(ZERO, 2**31), ErrorCode.PROTOCOL_ERROR),
    "the connection's window too wide": (frames.window_update(ZERO, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "WINDOW_UPDATE on an idle stream": (frames.window_update(id_of(3), 1), ErrorCode.PROTOCOL_ERROR),
    "streams' windows too wide": (
        frames.window_update(id_of(1), 2**31 - 1 - 65_535) + settings_of((frames.INITIAL_WINDOW_SIZE, 65_536)),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize(("written", "code"), CONNECTION_ERRORS.values(), ids=list(CONNECTION_ERRORS))
def test_errors_of_a_connection(written: bytes, code: ErrorCode) -> None:
    """GOAWAY with the code of the RFC and the last stream that came; nothing is read any more."""
    client = Client()
    client.feed(OPEN)
    client.sent()
    goaway = client.answered(written)[-1]
    assert (goaway.kind, goaway.code, goaway.payload[:4]) == (frames.GOAWAY, code, id_of(1))
    assert client.core.failed.startswith(code.name)
    assert client.answered(whole(3)) == []


STREAM_ERRORS = {
    "PRIORITY of four bytes": (priority(1, bytes(4)), ErrorCode.FRAME_SIZE_ERROR),
    "a stream that depends on itself": (priority(1, id_of(1) + b"\0"), ErrorCode.PROTOCOL_ERROR),
    "exclusively": (priority(1, b"\x80\0\0\1\0"), ErrorCode.PROTOCOL_ERROR),
    "a window update of nought": (frames.window_update(id_of(1), 0), ErrorCode.PROTOCOL_ERROR),
    "too wide a window": (frames.window_update(id_of(1), 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
}


@pytest.mark.parametrize(("written", "code"), STREAM_ERRORS.values(), ids=list(STREAM_ERRORS))
def test_errors_of_a_stream(written: bytes, code: ErrorCode) -> None:
    """RST_STREAM; its neighbours are served."""
    client = Client()
    client.feed(OPEN)
    (reset,) = client.replies(written)
    assert (reset.kind, reset.stream, reset.code) == (frames.RST_STREAM, 1, code)
    assert client.core.streams == {}
    client.feed(whole(3))
    assert client.messages == [MESSAGE]


@pytest.mark.parametrize(
    "written",
    [
        priority(7, id_of(3) + b"\x10"),
        settings_of((9, 1), (frames.MAX_CONCURRENT_STREAMS, 0), (frames.MAX_FRAME_SIZE, 2**24 - 1)),
        frames.goaway(ZERO, 0, "bye"),
        frames.window_update(ZERO, 1),
        frames.window_update(id_of(1), 5),
        ping(b"unheard.", ack=True),
        frames.frame(200, 255, id_of(1), b"unknown"),
    ],
    ids=["PRIORITY", "SETTINGS", "GOAWAY", "WINDOW_UPDATE", "of a closed stream", "an ACK", "unknown"],
)  # fmt: skip
def test_what_is_no_error(written: bytes) -> None:
    """Calls go on; each such frame counts against its sender."""
    client = Client()
    client.feed(whole(1))
    client.call.reply(b"")
    before = client.core.glitches
    client.feed(written)
    assert not client.core.failed
    assert client.core.glitches == before + 1
    client.feed(whole(3))
    assert len(client.calls) == 2


def test_settings_are_answered_before_what_they_let_go_out() -> None:
    """The ACK comes first, and once for each frame."""
    client = Client()
    client.feed(settings_of((frames.INITIAL_WINDOW_SIZE, 0)) + whole(1))
    client.call.reply(b"answer")
    client.sent()
    sent = client.answered(settings_of((frames.INITIAL_WINDOW_SIZE, 100)))
    assert [(frame.kind, frame.flags & frames.ACK) for frame in sent][:2] == [(frames.SETTINGS, 1), (frames.DATA, 0)]


def test_of_a_setting_that_comes_twice_the_last_counts() -> None:
    """All are checked; the windows change once, whatever a frame holds: each change may touch every stream."""
    client = Client()
    client.feed(settings_of((frames.INITIAL_WINDOW_SIZE, 0)) + whole(1))
    client.call.reply(b"x" * 100)
    client.sent()
    flood = [(frames.INITIAL_WINDOW_SIZE, number % 2) for number in range(2000)] + [(frames.INITIAL_WINDOW_SIZE, 7)]
    sent = client.replies(settings_of(*flood))
    assert [len(frame.payload) for frame in sent] == [7]
    client.feed(settings_of((frames.INITIAL_WINDOW_SIZE, 2**31), (frames.INITIAL_WINDOW_SIZE, 7)))
    assert client.core.failed


def test_pings_are_answered_with_what_they_carry() -> None:
    """And the answers to ours are told to whoever asked."""
    client = Client()
    (answer,) = client.answered(ping(b"12345678"))
    assert (answer.kind, answer.flags, answer.payload) == (frames.PING, frames.ACK, b"12345678")
    client.core.ping(b"question")
    assert client.sent()[0].payload == b"question"
    client.feed(ping(b"question", ack=True))
    assert client.core.pings_answered == [b"question"]
    assert client.sent() == []


def test_an_answer_that_is_waited_for_is_no_glitch() -> None:
    """An Envoy that acknowledges thousands of messages is no flood; what nobody asked for is."""
    client = Client()
    told: list[str] = []
    client.core.acknowledgements.ask(lambda: told.append("read"), client.now)
    (asked,) = client.sent()
    before = client.core.glitches
    client.feed(ping(asked.payload, ack=True))
    assert client.core.glitches == before
    (ready,) = client.core.acknowledgements.take_ready()
    ready()
    assert told == ["read"]
    client.feed(ping(asked.payload, ack=True))
    assert client.core.glitches == before + 1


FLOODS: dict[str, Callable[[int], bytes]] = {
    "PING": lambda _: ping(bytes(8), ack=True),
    "PRIORITY": lambda _: priority(9, bytes(5)),
    "SETTINGS ACK": lambda _: settings_of(flags=frames.ACK),
    "WINDOW_UPDATE": lambda _: frames.window_update(ZERO, 1),
    "WINDOW_UPDATE of a stream": lambda _: frames.window_update(id_of(1), 1),
    "unknown": lambda _: frames.frame(99, 0, ZERO),
    "GOAWAY": lambda _: frames.goaway(ZERO, 0),
    "empty DATA": lambda _: data(1, b""),
    "tiny DATA": lambda _: data(1, b"\0"),
    "rapid reset": lambda number: headers(3 + 2 * number, request_fields()) + rst(3 + 2 * number),
    "RST_STREAM again": lambda _: rst(1),
    "malformed requests": lambda number: headers(3 + 2 * number, [(b"x", b"1")]),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=list(FLOODS))
def test_what_brings_nothing_has_an_end(flood: Callable[[int], bytes]) -> None:
    """Beyond the bound the client is told to calm down, and nothing more is read."""
    client = Client(Caps(glitches_max=50, control_frames_max=10_000))
    client.feed(OPEN + settings_of(flags=frames.ACK))
    client.core.glitches = 0
    for number in range(50):
        client.feed(flood(number))
        assert not client.core.failed, number
    client.feed(flood(50))
    assert client.core.failed.startswith("ENHANCE_YOUR_CALM")
    assert client.sent()[-1].code == ErrorCode.ENHANCE_YOUR_CALM


def test_calls_and_time_pay_back() -> None:
    """A client that is served may send more that brings nothing; never on credit."""
    client = Client()
    client.core.glitches = 0
    client.feed(ping(bytes(8)) * 10)
    assert client.core.glitches == 10
    client.feed(whole(1) + whole(3))
    assert client.core.glitches == 10 - 2 * PAID_BACK
    client.feed(whole(5))
    assert client.core.glitches == 0
    client.core.glitches = GRANT + 5
    client.core.grant()
    assert client.core.glitches == 5
    client.core.grant()
    assert client.core.glitches == 0


def test_a_request_that_was_whole_may_be_given_up() -> None:
    """Envoy does so at each deadline: no glitch, but for a reset that comes in the same read."""
    client = Client()
    client.feed(whole(1))
    before = client.core.glitches
    client.feed(rst(1))
    assert client.core.glitches == before
    client.core.glitches = 100
    client.feed(whole(3) + rst(3))
    assert client.core.glitches == 100 - PAID_BACK + 1


def test_answers_in_one_read_are_bounded() -> None:
    """A peer that makes us answer more than it can be reading is cut; another read begins anew."""
    client = Client(Caps(control_frames_max=10))
    for _ in range(3):
        client.feed(ping(bytes(8)) * 10)
        assert not client.core.failed
    client.feed(ping(bytes(8)) * 6 + settings_of() * 5)
    assert client.core.failed.startswith("ENHANCE_YOUR_CALM")


def test_changing_all_windows_costs_what_it_costs_us() -> None:
    """With many streams that have a window of their own, one SETTINGS frame is more than one glitch."""
    client = Client()
    client.feed(settings_of((frames.INITIAL_WINDOW_SIZE, 0)) + b"".join(whole(1 + 2 * number) for number in range(64)))
    for call in client.calls:
        call.reply(b"")
    before = client.core.glitches
    client.feed(settings_of((frames.INITIAL_WINDOW_SIZE, 1)))
    assert client.core.glitches == before + 1 + 64 // 16


@pytest.mark.parametrize(
    ("four", "expected"), [("00000001", "00000001"), ("80000001", "00000001"), ("ffffffff", "7fffffff")]
)
def test_the_reserved_bit_is_ignored(four: str, expected: str) -> None:
    """RFC 9113 §4.1."""
    assert plain(bytes.fromhex(four)) == bytes.fromhex(expected)
