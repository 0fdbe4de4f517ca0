"""A connection without a socket, and a client for it that writes frames by hand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpack import Decoder

from ratelimit.errors import GrpcStatus
from ratelimit.transport import frames, grpc
from ratelimit.transport.calls import DEADLINE_PASSED, Call, deliver
from ratelimit.transport.connection import Connection
from ratelimit.transport.grpc import CallHead
from ratelimit.transport.headers import Field
from ratelimit.transport.housekeeping import Caps, Event

DIRECT = "/test.Service/Direct"
STREAMED = "/test.Service/Streamed"
UNKNOWN = "/test.Service/Unknown"
MESSAGE = b"a request's message"


def id_of(stream: int) -> bytes:
    """A stream's id as it is kept."""
    return stream.to_bytes(4, "big")


def block(*fields: Field) -> bytes:
    """A header block of literals that depends on no table."""
    return b"".join(grpc.field(name, value) for name, value in fields)


def request_fields(path: str = DIRECT, *more: Field) -> list[Field]:
    """The fields of a gRPC request, and some more."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", b"ratelimit"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]


def headers(stream: int, fields: Iterable[Field], *, end: bool = False) -> bytes:
    """A HEADERS frame."""
    flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
    return frames.frame(frames.HEADERS, flags, id_of(stream), block(*fields))


def data(stream: int, payload: bytes, *, end: bool = False) -> bytes:
    """A DATA frame."""
    return frames.frame(frames.DATA, frames.END_STREAM if end else 0, id_of(stream), payload)


def whole(stream: int, path: str = DIRECT, message: bytes = MESSAGE, *more: Field) -> bytes:
    """A whole unary request in two frames."""
    return headers(stream, request_fields(path, *more)) + data(stream, grpc.frame_message(message), end=True)


def rst(stream: int) -> bytes:
    """The client gives a request up."""
    return frames.rst_stream(id_of(stream), frames.ErrorCode.CANCEL)


@dataclass(frozen=True)
class Frame:
    """A frame as the client reads it."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self) -> int:
        """The error code of RST_STREAM or GOAWAY."""
        return int.from_bytes(self.payload[4:8] if self.kind == frames.GOAWAY else self.payload[:4], "big")


def parsed(written: bytes) -> list[Frame]:
    """The frames in some bytes."""
    found = []
    while written:
        size = int.from_bytes(written[:3], "big")
        stream = int.from_bytes(written[5:9], "big")
        found.append(Frame(written[3], written[4], stream, written[9 : 9 + size]))
        written = written[9 + size :]
    return found


class Streamed:
    """A receiver that only keeps what it is told."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.full = False
        self.working = False
        self.told: list[Any] = []

    def message(self, message: bytes) -> None:
        self.told.append(message)

    def end(self) -> None:
        self.told.append("end")

    def failed(self, error: Any) -> None:
        self.told.append("failed")
        self.call.fail(error)

    def expired(self) -> None:
        self.told.append("expired")
        self.call.fail(DEADLINE_PASSED)

    def gone(self) -> bool:
        self.told.append("gone")
        return self.working

    def writable(self) -> None:
        self.told.append("writable")

    def stopping(self) -> None:
        self.told.append("stopping")


class Client:
    """A peer of one connection. `calls` are those that the direct method was given, `told` the streamed ones."""

    def __init__(self, caps: Caps | None = None, *, greet: bool = True) -> None:
        self.outputs = 0
        self.now = 1000.0
        self.calls: list[Call] = []
        self.messages: list[bytes] = []
        self.streamed: list[Streamed] = []
        self.core = Connection(caps or Caps(), self._judge, Call, self._on_output)
        self.core.begin()
        if greet:
            self.feed(frames.PREFACE + frames.settings({}) + frames.frame(frames.SETTINGS, frames.ACK, b"\0\0\0\0"))
            self.sent()

    def feed(self, written: bytes) -> list[Event]:
        """Let the connection read bytes, and deliver what came of them."""
        events = self.core.receive_data(written, self.now)
        deliver(self.core, events)
        while self.core.more:
            more = self.core.receive_more(self.now)
            deliver(self.core, more)
            events += more
        return events

    def sent(self) -> list[Frame]:
        """The frames that the connection has to send now."""
        return parsed(self.core.data_to_send())

    def answered(self, written: bytes) -> list[Frame]:
        """The frames that some bytes bring about."""
        self.feed(written)
        return self.sent()

    def replies(self, written: bytes = b"") -> list[Frame]:
        """The frames on streams that are to be sent, after some bytes came."""
        return [frame for frame in self.answered(written) if frame.stream]

    def lose(self) -> None:
        """The client is gone."""
        deliver(self.core, self.core.lost())

    @property
    def call(self) -> Call:
        """The one call that the direct method was given."""
        (call,) = self.calls
        return call

    def open(self, stream: int) -> Any:
        """The call of a stream that is open."""
        return self.core.streams[id_of(stream)]

    def _judge(self, fields: Mapping[bytes, bytes]) -> CallHead:
        head = grpc.read_head(fields)
        if head.refusal is None:
            head.direct = self._direct if head.path == DIRECT else None
            head.method = head.direct or (self._streamed if head.path == STREAMED else None)
        return head

    def _direct(self, calls: Sequence[Any], messages: Sequence[bytes]) -> None:
        self.calls += calls
        self.messages += messages

    def _streamed(self, call: Call) -> Streamed:
        self.streamed.append(Streamed(call))
        return self.streamed[-1]

    def _on_output(self) -> None:
        self.outputs += 1


@dataclass
class Answer:
    """The frames of one stream as a client understands them."""

    fields: dict[bytes, bytes]
    body: bytes
    ended: bool

    @property
    def status(self) -> tuple[GrpcStatus, bytes]:
        """The gRPC status, and its details."""
        return GrpcStatus(int(self.fields[b"grpc-status"])), self.fields.get(b"grpc-message", b"")


def answer_of(sent: Iterable[Frame], stream: int) -> Answer:
    """What a stream was answered; frames of other streams are left out."""
    answer, decoder, written = Answer({}, b"", ended=False), Decoder(), b""
    for each in sent:
        if each.stream != stream:
            continue
        if each.kind == frames.DATA:
            answer.body += each.payload
        elif each.kind in (frames.HEADERS, frames.CONTINUATION):
            written += each.payload
            if each.flags & frames.END_HEADERS:
                answer.fields |= {bytes(name): bytes(value) for name, value in decoder.decode(written, raw=True)}
                written = b""
        if each.kind in (frames.DATA, frames.HEADERS):
            answer.ended |= bool(each.flags & frames.END_STREAM)
    return answer
