"""gRPC calls on the streams of a connection, without I/O: from events to methods, and the answers back.

A `Call` is a stream with what `transport.methods.Call` promises. A call whose request came whole through the fast lane
goes to its direct method at once. Any other has a `Receiver`, which is told what its request brings.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from ratelimit.errors import ConnectionViolation, GrpcStatus, RpcError
from ratelimit.transport import frames, grpc
from ratelimit.transport.connection import Connection
from ratelimit.transport.housekeeping import DATA, REQUEST, RESET, UNARY, Event
from ratelimit.transport.methods import DirectMethod
from ratelimit.transport.streams import Body, State, Stream

QUICK_BYTES_MAX = 1024
# Inflating so much takes as long as another glitch: a few bytes may say megabytes.
INFLATED_PER_GLITCH = 16 * 1024
DEADLINE_PASSED = RpcError(GrpcStatus.DEADLINE_EXCEEDED, "the deadline passed while the call was worked on")

_HALF_CLOSED, _CLOSED = State.HALF_CLOSED_REMOTE, State.CLOSED
# An answer is stream_id.join(...) of these: headers, one message of a size, trailers.
_HEADERS_START = frames.start_of(frames.HEADERS, frames.END_HEADERS, len(grpc.RESPONSE_HEADERS))
_MESSAGES = [
    (
        grpc.RESPONSE_HEADERS + frames.start_of(frames.DATA, 0, size + grpc.PREFIX_BYTES),
        b"\0" + size.to_bytes(4, "big"),
    )
    for size in range(QUICK_BYTES_MAX + 1)
]
_TRAILERS_START = frames.start_of(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, len(grpc.OK_TRAILERS))
_TRAILERS = grpc.OK_TRAILERS


class Receiver(Protocol):
    """Who takes the request of a call that did not come whole. Nothing here may raise."""

    full: bool
    """Whether it wants no more for now: what comes meanwhile is not given back to the peer's window."""

    def message(self, message: bytes) -> None:
        """One more message."""

    def end(self) -> None:
        """The request is over."""

    def failed(self, error: RpcError) -> None:
        """The request is broken: the call ends with this."""

    def expired(self) -> None:
        """The deadline passed: the call ends with DEADLINE_EXCEEDED."""

    def gone(self) -> bool:
        """Nobody waits any more. True where something is still being worked on: then `work_ended` is called later."""

    def writable(self) -> None:
        """Something that waited for the peer's window went out."""

    def stopping(self) -> None:
        """The server stops: a stream of responses, which has no end of its own, ends with UNAVAILABLE."""


class Call(Stream):
    """One gRPC call."""

    __slots__ = ()

    @property
    def peer(self) -> str:
        """The client's address as gRPC writes it."""
        return str(self.connection.peer)

    def reply(self, message: bytes) -> None:
        """End the call with status OK and this message. `make bench` earns the shape of the common case."""
        connection, size = self.connection, len(message)
        if (
            self.waiting
            and size <= QUICK_BYTES_MAX
            and self.state is _HALF_CLOSED
            and size + 5 <= connection.window
            and size + 5 <= connection.stream_window
            and self.outflow is None
        ):
            self.waiting = False
            self.state = _CLOSED
            connection.window -= size + 5
            stream_id, output, quick = self.stream_id, connection.output, _MESSAGES[size]
            del connection.streams[stream_id]
            if not output:
                connection.on_output()
            output.append(stream_id.join((_HEADERS_START, quick[0], quick[1] + message + _TRAILERS_START, _TRAILERS)))
        elif self.begin_end():
            if not self._begun:
                connection.send_headers(self, grpc.RESPONSE_HEADERS)
            connection.send_data(self, grpc.frame_message(message))
            connection.send_trailers(self, grpc.OK_TRAILERS)

    def fail(self, error: RpcError) -> None:
        """End the call with the error's status and details: Trailers-Only, unless headers went out already."""
        if not self.begin_end():
            return
        block = grpc.trailers(error.grpc_status, error.details)
        if self._begun:
            self.connection.send_trailers(self, block)
        else:
            self.connection.send_headers(self, grpc.RESPONSE_HEADERS + block, end=True)

    def refuse(self, refusal: grpc.Refusal) -> None:
        """End the call before any method has seen it."""
        if self.begin_end():
            if refusal.has_body:
                self.connection.send_whole(self, refusal.block, refusal.body)
            else:
                self.connection.send_headers(self, refusal.block, end=True)

    def expire(self) -> None:
        """The deadline passed."""
        if self.body is not None and self.body.receiver is not None:
            self.body.receiver.expired()
        elif self.waiting:
            whole = self.state is _HALF_CLOSED
            self.fail(DEADLINE_PASSED)
            if whole:
                self.connection.abandon(self)

    @property
    def _begun(self) -> bool:
        return self.outflow is not None and self.outflow.begun

    def begin_end(self) -> bool:
        """Whether the call may end now: it does so once."""
        waited, self.waiting = self.waiting, False
        if not waited:
            self.connection.work_ended(self)
        elif self.body is not None and self.body.reader is not None:
            _drop_buffer(self.connection, self.body)
        return waited


class DirectReceiver:
    """Collects the one message of a call to a direct method."""

    full = False

    def __init__(self, call: Call, method: DirectMethod) -> None:
        self._call = call
        self._method = method
        self._message: bytes | None = None
        self._asked = False

    def message(self, message: bytes) -> None:
        if self._message is not None:
            self._call.fail(RpcError(GrpcStatus.INTERNAL, "a unary call with more than one message"))
        else:
            self._message = message
            _hold(self._call, len(message))

    def end(self) -> None:
        if self._message is None:
            self._call.fail(RpcError(GrpcStatus.INTERNAL, "a unary call without a message"))
        elif self._call.waiting:
            self._asked = True
            message, self._message = self._message, b""
            _hold(self._call, -len(message))
            self._call.connection.pay_back(1)
            self._method((self._call,), (message,))

    def failed(self, error: RpcError) -> None:
        self._call.fail(error)

    def expired(self) -> None:
        if self._call.waiting:
            self._call.fail(DEADLINE_PASSED)
            if self._asked:
                self._call.connection.abandon(self._call)

    def gone(self) -> bool:
        return self._asked

    def writable(self) -> None:
        """Nothing waits for it."""

    def stopping(self) -> None:
        """It is answered soon enough."""


class RefusedReceiver:
    """Lets a request that is refused end first: then its answer is no reason for a peer to break off."""

    full = False

    def __init__(self, call: Call, refusal: grpc.Refusal) -> None:
        self._call = call
        self._refusal = refusal

    def message(self, message: bytes) -> None:
        """Not looked at."""

    def end(self) -> None:
        self._call.refuse(self._refusal)

    def failed(self, _: RpcError) -> None:
        """What is refused may be broken too."""

    def expired(self) -> None:
        self._call.refuse(self._refusal)

    def gone(self) -> bool:
        return False

    def writable(self) -> None:
        """Nothing waits for it."""

    def stopping(self) -> None:
        """It is answered soon enough."""


def deliver(connection: Connection, events: Sequence[Event]) -> None:
    """Take events to the methods that they are for."""
    for kind, stream, data, ended in events:
        if kind == UNARY:
            stream(data, ended)  # a direct method, its calls and their messages
        elif kind == REQUEST:
            _begin(stream, ended=ended)
        elif kind == DATA:
            _body_came(connection, stream, data, ended=ended)
        elif kind == RESET:
            _gone(connection, stream, waited=ended)


def _begin(call: Call, *, ended: bool) -> None:
    head, body = call.head.call, call.body
    if not call.waiting or body is None:
        return
    if ended and head.refusal is not None:
        call.refuse(head.refusal)
        return
    body.reader = grpc.MessageReader(head.encoding, call.connection.caps.message_bytes_max)
    if head.refusal is not None:
        body.receiver = RefusedReceiver(call, head.refusal)
        body.reader = _Discarding()
    elif head.method is None:
        call.fail(RpcError(GrpcStatus.UNIMPLEMENTED, f"unknown method {head.path[:256]}"))
        return
    elif head.direct is not None:
        body.receiver = DirectReceiver(call, head.direct)
    else:
        body.receiver = head.method(call)
    if ended and body.receiver is not None:
        body.receiver.end()


def _body_came(connection: Connection, call: Call, data: bytes, *, ended: bool) -> None:
    body = call.body
    if body is None or body.receiver is None or not call.waiting:
        return
    receiver, reader = body.receiver, body.reader
    inflated = reader.inflated
    # All that comes in one read may come to one message of the largest size: inflating holds everybody up.
    reader.room = connection.caps.message_bytes_max - connection.inflated
    try:
        _read(call, body, data, ended=ended)
    except RpcError as error:
        receiver.failed(error)
    else:
        if receiver.full:
            body.owed += len(data)
        else:
            connection.give_back(call, len(data))
    inflated = reader.inflated - inflated
    connection.inflated += inflated
    _charge(connection, inflated // INFLATED_PER_GLITCH)


def _read(call: Call, body: Body, data: bytes, *, ended: bool) -> None:
    """Raises RpcError."""
    connection, receiver, reader = call.connection, body.receiver, body.reader
    before = reader.buffered
    messages = reader.feed(data)
    _hold(call, reader.buffered - before)
    for message in messages:
        receiver.message(message)
    if connection.buffered > connection.caps.buffered_bytes_max:
        raise RpcError(GrpcStatus.RESOURCE_EXHAUSTED, "too much lies in unfinished requests of this connection")
    if ended:
        reader.finish()
        receiver.end()


def _charge(connection: Connection, glitches: int) -> None:
    try:
        connection.glitch(glitches)
    except ConnectionViolation as violation:
        connection.fail(violation)


def _hold(call: Call, size: int) -> None:
    """So many bytes more of a request lie here, or fewer."""
    if call.body is not None:
        call.body.held += size
        call.connection.buffered += size


def _gone(connection: Connection, call: Call, *, waited: bool) -> None:
    body = call.body
    if body is None or body.receiver is None:
        return
    _drop_buffer(connection, body)
    if body.receiver.gone() and waited:
        connection.abandon(call)


def _drop_buffer(connection: Connection, body: Body) -> None:
    connection.buffered -= body.held
    body.held = 0
    body.reader = _Discarding()


class _Discarding:
    """A reader of what nobody wants to read."""

    buffered = inflated = room = 0

    def feed(self, _: bytes) -> Sequence[Any]:
        return ()

    def finish(self) -> None:
        """Whatever it was."""
