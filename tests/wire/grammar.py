"""What a client may send, as hypothesis draws it: conversations after the opening, right for the most part.

Calls are of the shapes that clients write: whole, cut in many ways, interleaved with each other, with a field that
changes from call to call as tracing has it, in every way that HPACK can write a field. Frames that carry no call come
between, and a few that are against the rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import strategies as st

from tests.wire import frames
from tests.wire.frames import Kind, block, call_fields, continuation, data, frame, headers, literal, message

PATHS = (b"/test.Echo/Say", b"/test.Echo/Other", b"/test.Echo/Nothing")
# Beside short messages those at the end of what the server's fast lane takes.
SIZES = st.sampled_from([*(0, 1, 2, 30, 200) * 8, 4_096, 4_097])
HEXADECIMAL = st.text("0123456789abcdef", min_size=16, max_size=16).map(str.encode)
# Static entries (RFC 7541, appendix A): :method POST, :scheme http, :authority, content-type.
STATIC_POST, STATIC_HTTP, STATIC_AUTHORITY, STATIC_CONTENT_TYPE = 0x83, 0x86, 1, 31


# Fields that make a call wrong.
FAULTS: list[frames.Field] = [
    *((b"grpc-timeout", value) for value in (b"0m", b"20x", b"")),
    (b"content-length", b"nonsense"),
    (b"grpc-encoding", b"lzma"),
    (b"UPPER", b"1"),
    (b"x-a", b" 1"),
    (b"connection", b"close"),
    (b"te", b"gzip"),
]


@dataclass(frozen=True)
class Manner:
    """How a client writes its calls: the same block each time, but for the values of tracing fields.

    `first` is the kind of its literals, None where it writes every field out; `size` the bytes of body that its
    content-length names.
    """

    path: bytes
    more: list[frames.Field]
    traced: list[bytes]
    first: int | None
    size: int | None

    def block(self, values: Sequence[bytes]) -> bytes:
        """The header block with these values of the tracing fields."""
        more = [*self.more, *zip(self.traced, values, strict=True)]
        if self.size is not None:
            more.append((b"content-length", b"%d" % self.size))
        if self.first is None:
            return block(call_fields(self.path, *more))
        start = bytes((STATIC_POST, STATIC_HTTP)) + literal(b":path", self.path) + bytes((STATIC_AUTHORITY,)) + b"\x01h"
        kept = [(b"te", b"trailers"), (b"content-type", b"application/grpc"), *more]
        return start + b"".join(literal(name, value, first=self.first) for name, value in kept)


@st.composite
def manners(draw: st.DrawFn, *, faulty: bool) -> Manner:
    """A manner that is right, or, where `faulty`, perhaps one that is always refused."""
    timeout: list[frames.Field] = [(b"grpc-timeout", draw(st.sampled_from([b"20m", b"1S", b"99999999H"])))]
    more = draw(st.sampled_from([[], [], timeout, [(b"grpc-encoding", b"identity")]]))
    path = draw(st.sampled_from((PATHS[0], PATHS[0], PATHS[1])))
    fault = draw(st.sampled_from(["path", "field", "none", "none"])) if faulty else "none"
    if fault == "path":
        path = PATHS[2]
    elif fault == "field":
        more = [draw(st.sampled_from(FAULTS))]
    traced = draw(st.sampled_from([[], [], [b"traceparent"], [b"traceparent", b"x-request-id"]]))
    size = draw(st.sampled_from([None, None, 5, 35])) if fault == "none" else None
    return Manner(path, more, traced, draw(st.sampled_from([None, 0x00, 0x10, 0x40])), size)


@st.composite
def calls(draw: st.DrawFn, manner: Manner, *, faulty: bool) -> tuple[bytes, bytes]:
    """The header block and the body of a call. With one fault at most: which of two is told depends on the reads."""
    values = [draw(HEXADECIMAL) for _ in manner.traced]
    is_right = manner.path != PATHS[2] and not any(each in FAULTS for each in manner.more)
    body = message(b"m" * (draw(SIZES) if manner.size is None else manner.size - 5))
    if faulty and is_right and draw(st.booleans()):
        # A body that is not as long as it should be, or not what its length says.
        whole = message(b"m" * 7)
        wrong = [b"", whole * 2, message(b"x", length=9), message(b"x", flag=1), message(b"x", flag=7), whole[:3]]
        body = draw(st.sampled_from(wrong)) if manner.size is None else whole
    return manner.block(values), body


def cut(draw: st.DrawFn, content: bytes, pieces_max: int = 4) -> list[bytes]:
    """The content in pieces, some of which may be empty."""
    places = draw(st.lists(st.integers(0, len(content)), max_size=pieces_max - 1).map(sorted))
    return [content[start:end] for start, end in zip([0, *places], [*places, len(content)], strict=True)]


@st.composite
def call_frames(draw: st.DrawFn, stream: int, manner: Manner, *, faulty: bool) -> list[bytes]:
    """A call, frame by frame."""
    head, body = draw(calls(manner, faulty=faulty))
    shapes = ["plain", "plain", "plain", "continued"]
    shape = draw(st.sampled_from(shapes if faulty else [*shapes, "cut", "padded", "trailers", "unended"]))
    if shape == "continued":
        first, *others = cut(draw, head)
        pieces = [continuation(stream, each, whole=at == len(others)) for at, each in enumerate(others, 1)]
        # A block is one piece for whoever interleaves: nothing may come between.
        begin = headers(stream, first, whole=not others) + b"".join(pieces)
    else:
        begin = headers(stream, head, pad=7 if shape == "padded" else None)
    if shape in {"plain", "continued"}:
        return [begin, data(stream, body, end=True)]
    pieces = [data(stream, each, pad=3 if shape == "padded" else None) for each in cut(draw, body)]
    if shape == "trailers":
        return [begin, *pieces, headers(stream, literal(b"x-trailer", b"1"), end=True)]
    return [begin, *pieces, *([] if shape == "unended" else [data(stream, end=True)])]


def without_calls(last_stream: int, ended: list[int], *, faulty: bool) -> st.SearchStrategy[bytes]:
    """A frame that begins no call, about the connection or a stream that may be there, or late on one that ended."""
    stream = st.integers(0, last_stream // 2).map(lambda at: 2 * at + 1)
    of_connection = [
        st.just(frames.ping()),
        st.just(frames.settings((4, 65_535), (5, 2**14))),
        st.just(frames.SETTINGS_ACK),
        st.just(frames.window_update(0, 1000)),
        st.just(frame(Kind.UNKNOWN, b"unknown")),
        stream.map(lambda at: frames.window_update(at, 100)),
        stream.map(lambda at: frames.priority(at, 0)),
    ]
    late = [data(at, message(b"late"), end=True) for at in ended]
    of_streams = [stream.map(frames.rst_stream), *([st.sampled_from(late)] * 2 if late else [])]
    return st.one_of(*of_connection, *([] if faulty else of_streams))


def against_the_rules(last_stream: int, head: bytes, *, faulty: bool) -> st.SearchStrategy[bytes]:
    """What is an error of the connection wherever it comes; `head` is a block that came before.

    A faulty call may be answered before its end, in some reads, and what comes then is borne: so not after one.
    """

    def whole(stream: int) -> bytes:
        return headers(stream, head) + data(stream, message(b"x"), end=True)

    return st.sampled_from(
        [
            whole(last_stream + 1),
            whole(0),
            *([whole(1)] if last_stream > 1 and not faulty else []),
            headers(last_stream + 2, head, whole=False) + whole(last_stream + 4),
            headers(last_stream + 2, b"\x80"),
            data(last_stream + 2, message(b"idle"), end=True),
            frames.window_update(0, 0),
            frame(Kind.PING, b"short"),
            frame(Kind.SETTINGS, b"short"),
            frame(Kind.UNKNOWN, length=2**24 - 1),
            continuation(1, b""),
        ]
    )


@dataclass
class Conversation:
    """What a client sends after the opening, frame by frame; `wrong` where it ends against the rules."""

    pieces: list[bytes] = field(default_factory=list)
    wrong: bool = False

    @property
    def sent(self) -> bytes:
        """All of it."""
        return b"".join(self.pieces)


@st.composite
def conversations(draw: st.DrawFn, calls_max: int = 8, *, faulty: bool | None = None) -> Conversation:
    """Calls with rising streams, their later frames in any order, and other frames between.

    Calls are right and may be reset, or they are faulty and are not. By default either is drawn.
    """
    faulty = draw(st.booleans()) if faulty is None else faulty
    count = draw(st.integers(1, calls_max))
    ways = draw(st.lists(manners(faulty=faulty), min_size=1, max_size=2))
    waiting: list[list[bytes]] = []
    ended: list[int] = []
    conversation = Conversation()
    for at in range(count):
        begin, *rest = draw(call_frames(2 * at + 1, draw(st.sampled_from(ways)), faulty=faulty))
        conversation.pieces.append(begin)
        waiting.append(rest)
        ends = bool(rest[-1][4] & frames.END_STREAM)
        # Nearly always a call is followed by its own body; now and then by that of another one, or by none yet.
        while any(waiting) and draw(st.integers(0, 9)) < 8:
            which = len(waiting) - 1 if draw(st.booleans()) else draw(st.integers(0, len(waiting) - 1))
            conversation.pieces += waiting[which][:1]
            del waiting[which][:1]
        ended += [2 * at + 1] if ends and not rest else []
        if draw(st.integers(0, 3)) == 0:
            conversation.pieces.append(draw(without_calls(2 * at + 1, ended, faulty=faulty)))
    conversation.pieces += [each for rest in waiting for each in rest]
    if draw(st.integers(0, 2)) == 0:
        head = ways[0].block([b"00"] * len(ways[0].traced))
        conversation.pieces.append(draw(against_the_rules(2 * count - 1, head, faulty=faulty)))
        conversation.wrong = True
    return conversation


def cuts(sent: bytes) -> st.SearchStrategy[list[bytes]]:
    """The same bytes in random reads."""

    def pieces(places: Sequence[int]) -> list[bytes]:
        marks = [0, *sorted(places), len(sent)]
        return [sent[start:end] for start, end in pairwise(marks)]

    return st.lists(st.integers(0, len(sent)), max_size=20).map(pieces)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A conversation with bytes changed, dropped, doubled or put in, as no client would send it."""
    sent = bytearray(draw(conversations()).sent)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(sent) - 1)))
        size = draw(st.integers(0, 12))
        how = draw(st.sampled_from(["change", "drop", "double", "insert"]))
        if how == "change" and sent:
            sent[at] = draw(st.integers(0, 255))
        elif how == "drop":
            del sent[at : at + size]
        elif how == "double":
            sent[at:at] = sent[at : at + size]
        else:
            sent[at:at] = draw(st.binary(max_size=size))
    return bytes(sent)


def any_frame() -> st.SearchStrategy[bytes]:
    """A frame of any kind, flags and stream, with a payload that means nothing."""
    streams = st.sampled_from([0, 1, 1, 2, 3, 5, 2**31 - 1, 2**31, 2**32 - 1])
    return st.builds(
        lambda kind, flags, stream, payload: frame(kind, payload, stream=stream, flags=flags),
        st.one_of(st.integers(0, 10), st.integers(0, 255)),
        st.one_of(st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x2D]), st.integers(0, 255)),
        streams,
        st.one_of(st.binary(max_size=40), st.integers(0, 2**14).map(lambda size: b"\0" * size)),
    )


@st.composite
def representations(draw: st.DrawFn) -> bytes:
    """A piece of a header block: a field in any representation, a size update, or nonsense."""
    text = st.one_of(
        st.sampled_from([b"", b":path", b":method", b"te", b"x-a", b"a" * 130]).map(frames.string),
        st.binary(max_size=9).map(lambda value: bytes((0x80 | len(value),)) + value),  # Huffman, most likely broken
    )
    first = draw(st.sampled_from([0x00, 0x10, 0x40]))
    index = draw(st.integers(0, 140))
    return draw(
        st.one_of(
            st.just(bytes((0x80 | min(index, 0x7F),)) + b"\x0d" * (index >= 0x7F)),
            st.tuples(text, text).map(lambda pair: bytes((first,)) + pair[0] + pair[1]),
            text.map(lambda value: bytes((first | 1 + index % 14,)) + value),
            st.sampled_from([b"\x20", b"\x3f\xe1\x1f", b"\x3f\xff\xff\xff\xff\x0f", b"\x80", b"\xff\x80\x80\x80\x00"]),
            st.integers(0x81, 0xC8).map(lambda byte: bytes((byte,))),
            st.binary(max_size=6),
        )
    )
