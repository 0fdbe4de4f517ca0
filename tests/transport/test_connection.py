import math
import struct

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.transport import frames
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.grpc import frame_message
from ratelimit.transport.housekeeping import DATA, REQUEST, RESET, UNARY, Caps
from tests.transport.core import (
    DIRECT,
    MESSAGE,
    STREAMED,
    Client,
    Frame,
    answer_of,
    block,
    data,
    headers,
    id_of,
    request_fields,
    rst,
    whole,
)

BLOCK = block(*request_fields())
END_HEADERS, END_STREAM = frames.END_HEADERS, frames.END_STREAM
PADDED, PRIORITY = frames.PADDED, frames.WITH_PRIORITY


def raw(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Any frame."""
    return frames.frame(kind, flags, id_of(stream), payload)


def last(client: Client, written: bytes) -> Frame:
    """The last frame that some bytes bring about."""
    return client.answered(written)[-1]


def test_the_first_frames() -> None:
    """SETTINGS with our bounds, and the connection's window."""
    client = Client(greet=False)
    settings, window = client.sent()
    values = dict(struct.iter_unpack(">HL", settings.payload))
    assert (settings.kind, settings.flags) == (frames.SETTINGS, 0)
    assert values == {
        frames.MAX_CONCURRENT_STREAMS: 1000,
        frames.INITIAL_WINDOW_SIZE: 262_144,
        frames.MAX_HEADER_LIST_SIZE: 16_384,
    }
    assert (window.kind, window.stream, window.code) == (frames.WINDOW_UPDATE, 0, 2**24 - 65_535)


@pytest.mark.parametrize("cut", [1, 10, 23, 24, 25, 33, 40])
def test_the_preface_may_come_in_pieces(cut: int) -> None:
    """And whatever follows it in the same write."""
    client = Client(greet=False)
    written = frames.PREFACE + frames.settings({}) + whole(1)
    client.feed(written[:cut])
    client.feed(written[cut:])
    assert client.messages == [MESSAGE]


@pytest.mark.parametrize(
    "written",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frames.PREFACE[:10] + b"X",
        frames.PREFACE + whole(1),
        frames.PREFACE + raw(frames.SETTINGS, frames.ACK, 0),
        frames.PREFACE + raw(99, 0, 0) + frames.settings({}),
    ],
)
def test_what_does_not_begin_as_http2(written: bytes) -> None:
    """PROTOCOL_ERROR: another protocol, or another frame before SETTINGS."""
    client = Client(greet=False)
    assert last(client, written).code == ErrorCode.PROTOCOL_ERROR
    assert client.calls == []


def test_events_of_a_request() -> None:
    """Whole to a direct method: one event for all of a read. In pieces: head, body, end."""
    client = Client()
    client.feed(whole(1))
    ((kind, _, calls, messages),) = client.core.receive_data(whole(3) + whole(5), 0)
    assert (kind, [call.stream_id for call in calls], messages) == (UNARY, [id_of(3), id_of(5)], [MESSAGE] * 2)
    events = client.feed(headers(7, request_fields(STREAMED)) + data(7, b"\0" * 20) + data(7, b"", end=True) + rst(7))
    assert [event[0] for event in events] == [REQUEST, DATA, DATA, RESET]
    assert [event[3] for event in events] == [False, False, True, True]


@pytest.mark.parametrize("path", [DIRECT, STREAMED])
def test_bytes_may_come_one_by_one(path: str) -> None:
    """The answer is the same."""
    written = whole(1, path) + headers(3, request_fields(path)) + rst(3) + whole(5, path)
    at_once, in_bytes = Client(), Client()
    at_once.feed(written)
    for byte in written:
        in_bytes.feed(bytes((byte,)))
    assert at_once.messages == in_bytes.messages
    served = [[each.told for each in client.streamed if "end" in each.told] for client in (at_once, in_bytes)]
    assert served[0] == served[1]


HEADS = {
    "padded": raw(frames.HEADERS, END_HEADERS | PADDED, 1, b"\x05" + BLOCK + bytes(5)),
    "with a priority": raw(frames.HEADERS, END_HEADERS | PRIORITY, 1, b"\x80\0\0\x07\x20" + BLOCK),
    "both": raw(frames.HEADERS, END_HEADERS | PADDED | PRIORITY, 1, b"\x02" + id_of(3) + b"\0" + BLOCK + bytes(2)),
    "continued": raw(frames.HEADERS, 0, 1, BLOCK[:20]) + raw(frames.CONTINUATION, END_HEADERS, 1, BLOCK[20:]),
    "continued twice": raw(frames.HEADERS, 0, 1) + raw(frames.CONTINUATION, 0, 1) + raw(9, END_HEADERS, 1, BLOCK),
    "with the reserved bit": raw(frames.HEADERS, END_HEADERS, 2**31 + 1, BLOCK),
    "with flags that mean nothing": raw(frames.HEADERS, END_HEADERS | 0xC2, 1, BLOCK),
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS.values(), ids=list(HEADS))
@pytest.mark.parametrize("cut", [0, 3, 19])
def test_every_shape_of_a_request(head: bytes, cut: int) -> None:
    """RFC 9113 §6.1, §6.2 and §6.10: the method sees the same call."""
    client, body = Client(), frame_message(MESSAGE)
    pieces = raw(frames.DATA, PADDED, 1, b"\3" + body[:cut] + bytes(3)) + raw(frames.DATA, END_STREAM, 1, body[cut:])
    client.feed(head + pieces)
    assert client.messages == [MESSAGE]
    client.call.reply(b"answer")
    assert answer_of(client.sent(), 1).body == frame_message(b"answer")


CONNECTION_ERRORS = {
    "an even id": (headers(2, request_fields()), ErrorCode.PROTOCOL_ERROR),
    "HEADERS on stream 0": (headers(0, request_fields()), ErrorCode.PROTOCOL_ERROR),
    "DATA on stream 0": (data(0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "DATA on an idle stream": (data(9, b"x"), ErrorCode.PROTOCOL_ERROR),
    "HEADERS on a closed stream": (whole(3) + rst(3) + headers(1, request_fields()), ErrorCode.STREAM_CLOSED),
    "too large a frame": ((16_385).to_bytes(3, "big") + b"\0\0\0\0\0\x01", ErrorCode.FRAME_SIZE_ERROR),
    "an unknown frame too large": (b"\xff\xff\xff\x63\0\0\0\0\0", ErrorCode.FRAME_SIZE_ERROR),
    "padding of DATA": (headers(3, request_fields()) + raw(frames.DATA, PADDED, 3, b"\3ab"), ErrorCode.PROTOCOL_ERROR),
    "padding of nothing": (raw(frames.HEADERS, END_HEADERS | PADDED, 3), ErrorCode.PROTOCOL_ERROR),
    "padding of a block": (raw(frames.HEADERS, END_HEADERS | PADDED, 3, b"\xff" + BLOCK), ErrorCode.PROTOCOL_ERROR),
    "no room for a priority": (raw(frames.HEADERS, END_HEADERS | PRIORITY, 3, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
    "a broken block": (raw(frames.HEADERS, END_HEADERS, 3, b"\xff"), ErrorCode.COMPRESSION_ERROR),
    "a lone CONTINUATION": (raw(frames.CONTINUATION, END_HEADERS, 3, BLOCK), ErrorCode.PROTOCOL_ERROR),
    "a PING between": (raw(frames.HEADERS, 0, 3, BLOCK) + raw(frames.PING, 0, 0, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "another's between": (raw(frames.HEADERS, 0, 3, BLOCK) + raw(frames.CONTINUATION, 4, 5), ErrorCode.PROTOCOL_ERROR),
    "a whole request between": (raw(frames.HEADERS, 0, 3, BLOCK) + whole(5), ErrorCode.PROTOCOL_ERROR),
    "an unknown frame between": (raw(frames.HEADERS, 0, 3, BLOCK) + raw(99, 0, 3), ErrorCode.PROTOCOL_ERROR),
    "many CONTINUATIONs": (
        raw(frames.HEADERS, 0, 3) + raw(frames.CONTINUATION, 0, 3, b"\0" * 20) * 8, ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "large CONTINUATIONs": (
        raw(frames.HEADERS, 0, 3) + raw(frames.CONTINUATION, 0, 3, b"\0" * 8200) * 2, ErrorCode.ENHANCE_YOUR_CALM,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("written", "code"), CONNECTION_ERRORS.values(), ids=list(CONNECTION_ERRORS))
def test_errors_of_a_connection(written: bytes, code: ErrorCode) -> None:
    """GOAWAY, once, and nothing is read any more."""
    client = Client()
    client.feed(whole(1))
    client.call.reply(b"")
    goaway = last(client, written)
    assert (goaway.kind, goaway.code) == (frames.GOAWAY, code)
    assert client.answered(written + whole(21)) == []


@pytest.mark.parametrize("read", [b"", whole(3)], ids=["alone", "after a call"])
def test_what_came_before_an_error_is_served(read: bytes) -> None:
    """Its events are delivered, though its answers may not reach anybody."""
    client = Client()
    client.feed(whole(1) + read + data(0, b""))
    assert client.core.failed
    assert len(client.calls) == 1 + bool(read)


LENGTH = (b"content-length", b"5")
STREAM_ERRORS = {
    "malformed": headers(1, [(b"x", b"1")]),
    "depends on itself": raw(frames.HEADERS, END_HEADERS | PRIORITY, 1, id_of(1) + b"\0" + BLOCK),
    "no body where there should be one": headers(1, request_fields(DIRECT, LENGTH), end=True),
    "a body that is too short": headers(1, request_fields(DIRECT, LENGTH)) + data(1, b"1234", end=True),
    "one that is too long": headers(1, request_fields(DIRECT, LENGTH)) + data(1, b"123456"),
    "and in the end": headers(1, request_fields(DIRECT, LENGTH)) + data(1, b"123") + data(1, b"456", end=True),
    "cut by trailers": headers(1, request_fields(DIRECT, LENGTH)) + headers(1, [(b"x", b"1")], end=True),
    "trailers that do not end it": headers(1, request_fields()) + headers(1, [(b"x", b"1")]),
    "pseudo-fields in trailers": headers(1, request_fields()) + headers(1, [(b":path", b"/")], end=True),
    "malformed trailers": headers(1, request_fields(STREAMED)) + headers(1, [(b"X", b"1")], end=True),
}


@pytest.mark.parametrize("written", STREAM_ERRORS.values(), ids=list(STREAM_ERRORS))
@pytest.mark.parametrize("warm", [False, True])
def test_malformed_requests(written: bytes, warm: bool) -> None:
    """RST_STREAM PROTOCOL_ERROR; no method is asked, nothing is left behind, and the connection stays."""
    client = Client()
    if warm:
        client.answered(written)
        written = written.replace(b"\0\0\0\1", b"\0\0\0\3")
    before = client.core.glitches
    resets = [frame for frame in client.answered(written) if frame.kind == frames.RST_STREAM]
    assert [(frame.stream, frame.code) for frame in resets] == [(3 if warm else 1, ErrorCode.PROTOCOL_ERROR)]
    assert (client.core.streams, client.core.orphans, client.core.buffered) == ({}, 0, 0)
    assert client.core.glitches > before
    assert client.calls == []
    client.feed(whole(5))
    assert client.messages == [MESSAGE]


@pytest.mark.parametrize("late", [data(1, b"x"), data(1, b"x", end=True), headers(1, [(b"x", b"1")], end=True)])
def test_frames_after_the_end_of_a_stream(late: bytes) -> None:
    """RST_STREAM STREAM_CLOSED; its call is worked on, so it keeps its place."""
    client = Client()
    client.feed(whole(1))
    client.sent()
    (reset,) = client.answered(late)
    assert (reset.kind, reset.code) == (frames.RST_STREAM, ErrorCode.STREAM_CLOSED)
    assert client.core.orphans == 1
    client.call.reply(b"late")
    assert client.core.orphans == 0


def test_frames_on_their_way_to_a_reset_stream_are_ignored() -> None:
    """The client cannot have known; what they bring is given back to the connection's window."""
    client = Client(Caps(connection_window=100_000))
    client.feed(headers(1, [(b"x", b"1")]))
    client.sent()
    window = client.core.receive_window
    assert client.answered(data(1, bytes(1000)) + headers(1, [(b"x", b"1")], end=True)) == []
    assert client.core.receive_window == window - 1000
    (update,) = client.answered(data(1, bytes(16_384)) * 3)
    assert (update.kind, update.stream) == (frames.WINDOW_UPDATE, 0)


def test_more_streams_than_allowed() -> None:
    """REFUSED_STREAM beyond the bound, twice as many before the client can know it; an ended one makes room."""
    client = Client(Caps(streams_max=2), greet=False)
    client.feed(frames.PREFACE + frames.settings({}))
    client.feed(b"".join(headers(stream, request_fields()) for stream in (1, 3, 5, 7)))
    assert len(client.core.streams) == 4
    assert last(client, headers(9, request_fields())).code == ErrorCode.REFUSED_STREAM
    client.feed(raw(frames.SETTINGS, frames.ACK, 0) + rst(1) + rst(3))
    assert last(client, headers(11, request_fields())).code == ErrorCode.REFUSED_STREAM
    client.feed(rst(5))
    assert client.answered(whole(13)) == []
    assert client.calls[-1].stream_id == id_of(13)


def test_the_window_of_a_stream_bounds_what_it_may_send() -> None:
    """FLOW_CONTROL_ERROR for the stream, padding counted."""
    client = Client(Caps(stream_window=100))
    client.feed(headers(1, request_fields(STREAMED)))
    client.streamed[0].full = True
    client.feed(raw(frames.DATA, PADDED, 1, b"\x50" + bytes(0x50) + b"\0" * 3))
    assert not client.core.failed
    assert last(client, data(1, bytes(101))).code == ErrorCode.FLOW_CONTROL_ERROR
    assert client.core.streams == {}


def test_the_window_of_the_connection_bounds_all() -> None:
    """FLOW_CONTROL_ERROR for the connection."""
    client = Client(Caps(connection_window=100_000, stream_window=10**6))
    client.core.receive_window = 100
    client.feed(headers(1, request_fields(STREAMED)))
    assert last(client, data(1, bytes(101))).code == ErrorCode.FLOW_CONTROL_ERROR
    assert client.core.failed.startswith("FLOW_CONTROL_ERROR")


@pytest.mark.parametrize("path", [DIRECT, STREAMED])
def test_windows_are_given_back(path: str) -> None:
    """However many calls a connection carries; a server that forgets stalls its client."""
    client = Client(Caps(connection_window=70_000))
    allowed = 70_000
    for number in range(100):
        for frame in client.answered(whole(1 + 2 * number, path, bytes(4000))):
            allowed += frame.code if (frame.kind, frame.stream) == (frames.WINDOW_UPDATE, 0) else 0
        allowed -= 4005
        assert allowed == client.core.receive_window
        assert allowed > 4005
        client.open(1 + 2 * number).reply(b"")


def test_a_long_stream_is_given_its_window_back() -> None:
    """Its messages are taken as they come."""
    client = Client(Caps(stream_window=65_535))
    client.feed(headers(1, request_fields(STREAMED)))
    given = 0
    for _ in range(20):
        for frame in client.answered(data(1, frame_message(bytes(16_000)))):
            given += frame.code if (frame.kind, frame.stream) == (frames.WINDOW_UPDATE, 1) else 0
    assert given > 20 * 16_005 - 65_535
    assert len(client.streamed[0].told) == 20


def test_goodbye_in_two_steps() -> None:
    """RFC 9113 §6.8: first every stream may still come, then none that was not seen; those that were are served."""
    client = Client()
    client.feed(whole(1))
    client.sent()
    client.core.close_gracefully(last=False)
    (first,) = client.sent()
    assert (first.kind, first.code, first.payload[:4]) == (frames.GOAWAY, 0, frames.STREAM_ID_MAX)
    client.feed(whole(3))
    client.core.close_gracefully(last=True)
    (second,) = client.sent()
    assert (second.code, second.payload[:4]) == (0, id_of(3))
    assert client.answered(whole(5) + whole(7)) == []
    for call in client.calls:
        call.reply(b"answer")
    assert answer_of(client.sent(), 3).ended
    assert [call.stream_id for call in client.calls] == [id_of(1), id_of(3)]
    assert client.core.streams == {}


def test_streams_after_goodbye_count() -> None:
    """Who goes on all the same is told to calm down one day."""
    client = Client(Caps(glitches_max=20))
    client.feed(headers(1, request_fields(STREAMED)))
    client.core.close_gracefully(last=True)
    client.feed(b"".join(headers(3 + 2 * number, request_fields()) for number in range(25)))
    assert client.core.failed.startswith("ENHANCE_YOUR_CALM")


def test_a_table_is_refused_with_the_first_direct_call() -> None:
    """SETTINGS HEADER_TABLE_SIZE 0; once it is acknowledged, a client may not ask for a table again."""
    client = Client()
    sent = client.answered(whole(1) + whole(3))
    assert [(frame.kind, frame.payload) for frame in sent] == [(frames.SETTINGS, b"\0\1\0\0\0\0")]
    client.feed(raw(frames.HEADERS, END_HEADERS, 5, b"\x3f\xe1\x1f" + BLOCK))
    assert not client.core.failed
    client.feed(raw(frames.SETTINGS, frames.ACK, 0))
    client.feed(raw(frames.HEADERS, END_HEADERS, 7, b"\x20" + BLOCK))
    assert not client.core.failed
    assert (
        last(client, raw(frames.HEADERS, END_HEADERS, 9, b"\x3f\xe1\x1f" + BLOCK)).code == ErrorCode.COMPRESSION_ERROR
    )


def test_a_client_that_goes_on_with_its_table() -> None:
    """Each block is read by the table of its moment, whether or not it looks like one before."""
    client, encoder = Client(), Encoder()
    for number in range(1, 60, 2):
        trace = (b"traceparent", b"%d" % (number % 7))
        timeout = (b"grpc-timeout", b"%dS" % (number % 5))
        written = encoder.encode(request_fields(DIRECT, trace, timeout), huffman=bool(number & 2))
        client.feed(raw(frames.HEADERS, END_HEADERS, number, written) + data(number, frame_message(b""), end=True))
        assert client.calls[-1].deadline == client.now + number % 5


def test_an_index_means_what_the_table_says_now() -> None:
    """The same bytes, another table: what was remembered of them is forgotten, in both lanes."""
    client = Client()
    client.feed(raw(frames.HEADERS, END_HEADERS, 1, BLOCK + b"\x40" + block((b"grpc-timeout", b"1S"))[1:]))
    indexed = BLOCK + b"\xbe"
    for stream in (3, 5, 7):
        client.feed(raw(frames.HEADERS, END_HEADERS, stream, indexed) + data(stream, frame_message(b""), end=True))
    client.feed(raw(frames.HEADERS, END_HEADERS, 9, BLOCK + b"\x40" + block((b"grpc-timeout", b"2S"))[1:]))
    for stream in (11, 13):
        client.feed(raw(frames.HEADERS, END_HEADERS, stream, indexed) + data(stream, frame_message(b""), end=True))
    assert [call.deadline - client.now for call in client.calls] == [1, 1, 1, 2, 2]


def test_deadlines() -> None:
    """The earliest of all, so that one timer is enough; none where nobody has one."""
    client = Client()
    client.feed(whole(1))
    assert client.core.earliest_deadline == math.inf
    for stream, timeout in ((3, b"5S"), (5, b"2S"), (7, b"3S"), (9, b"2S")):
        client.feed(whole(stream, DIRECT, MESSAGE, (b"grpc-timeout", timeout)))
    assert client.core.earliest_deadline == client.now + 2
    assert [call.deadline - client.now for call in client.calls] == [math.inf, 5, 2, 3, 2]


FRAMES = st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 9), st.binary(max_size=40))
PIECES = st.one_of(
    FRAMES.map(lambda parts: raw(*parts)),
    st.integers(1, 9).map(whole),
    st.integers(1, 9).map(lambda stream: headers(stream, request_fields(STREAMED))),
    st.integers(1, 9).map(lambda stream: raw(frames.HEADERS, 0, stream, BLOCK)),
    st.integers(1, 9).map(rst),
    st.binary(max_size=20),
)


@given(st.lists(PIECES, max_size=12), st.integers(1, 50))
def test_no_exception_escapes(pieces: list[bytes], step: int) -> None:
    """Whatever comes, however it is cut; and in the end nothing is left."""
    client, written = Client(), b"".join(pieces)
    for at in range(0, len(written), step):
        client.feed(written[at : at + step])
    client.lose()
    for call in client.calls:
        call.reply(b"late")
    assert (client.core.streams, client.core.orphans, client.core.buffered) == ({}, 0, 0)
    assert sum(frame.kind == frames.GOAWAY for frame in client.sent()) == bool(client.core.failed)
