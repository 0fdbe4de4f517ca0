"""HTTP/2 of one connection, the server's side, without I/O (RFC 9113).

    bytes ─► receive_data ─► events ─► the gRPC layer (calls.py)
    bytes ◄─ data_to_send ◄─ send_headers, send_data, send_trailers, reset (sending.py) ◄─┘

`receive_data` never raises: a peer that breaks the rules gets RST_STREAM or GOAWAY; once `failed` says why, send
what is to be sent and close. It takes a bounded number of frames at a time: while `more` is True, give others their
turn and call `receive_more`. Nothing here knows the time but what it is told.

There are two lanes. unary_lane.py takes whole unary requests, which nearly all are, in one loop. Whatever it leaves
comes here, frame by frame, and means the same: this file is the truth, and a property test holds the lane to it.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ratelimit.errors import ConnectionViolation, StreamViolation
from ratelimit.transport import frames
from ratelimit.transport.block_memo import BlockMemo
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.headers import HeaderDecoder
from ratelimit.transport.housekeeping import DATA, REQUEST, Caps, Event, Housekeeping, plain, protocol_error
from ratelimit.transport.request_head import Judge, RequestHead, RequestHeads, malformed
from ratelimit.transport.streams import AFTER_END_RECEIVED, Body, State, Stream
from ratelimit.transport.trace_fields import TracedMemo, read_parent
from ratelimit.transport.unary_lane import UnaryLane

# A piece of a body that is smaller and not the last is a glitch.
TINY_BYTES = 16
# So many frames that are not the lane's are handled in one go, about half a millisecond's work: what comes in one read
# may be a hundred times that, and the other connections wait.
FRAMES_AT_ONCE = 64

NewStream = Callable[[Any, bytes, RequestHead, float, State], Stream]
_Continued = tuple[bytes, int, bool, list[bytes]]


class Connection(Housekeeping):
    """One connection. `judge` says what a head means, `new_stream` makes what is kept for a request."""

    def __init__(self, caps: Caps, judge: Judge, new_stream: NewStream, on_output: Callable[[], None]) -> None:
        super().__init__(caps, on_output)
        self.failed = ""
        self.more = False
        self.new_stream = new_stream
        self.memo = BlockMemo()
        self.receive_window = caps.connection_window
        self.continued: _Continued | None = None
        self.closing = False
        # The bytes of requests that lie here: of messages that are not whole, or wait for the end of their request.
        self.buffered = 0
        self.earliest_deadline = math.inf
        # Who the client is, for methods that ask: its address, and what TLS knows of it.
        self.peer = ""
        self.auth_context: Mapping[str, Iterable[bytes]] = {}
        self._lane = UnaryLane(self)
        self._rest = b""
        self._preface_received = False
        self._owed = 0
        self._table_refused = False
        self._traced = False
        self._decoder = HeaderDecoder(caps.header_bytes_max, caps.header_fields_max)
        self._heads = RequestHeads(judge)
        self._handlers = (
            self.on_data, self.on_headers, self.on_priority, self.on_rst_stream, self.on_settings, self.on_push_promise,
            self.on_ping, self.on_goaway, self.on_window_update, self.on_continuation,
        )  # fmt: skip

    def begin(self) -> None:
        """Our side of the preface (RFC 9113 §3.4)."""
        caps = self.caps
        announced = {
            frames.MAX_CONCURRENT_STREAMS: caps.streams_max,
            frames.INITIAL_WINDOW_SIZE: caps.stream_window,
            frames.MAX_HEADER_LIST_SIZE: caps.header_bytes_max,
        }
        more = frames.window_update(frames.CONNECTION, caps.connection_window - frames.DEFAULT_WINDOW)
        self.put(frames.settings(announced) + more)

    def read_parents(self) -> None:
        """Let heads tell the parents of their calls, from now on."""
        self.memo = TracedMemo()
        self._traced = True

    def receive_data(self, data: bytes, now: float) -> list[Event]:
        """Take what came at the time `now`, in pieces of any size; what happened, in order."""
        self.read_begins()
        return self._handle(self._rest + data if self._rest else data, now)

    def receive_more(self, now: float) -> list[Event]:
        """Go on with what was received and not handled; likewise."""
        return self._handle(self._rest, now)

    def _handle(self, data: bytes, now: float) -> list[Event]:
        events: list[Event] = []
        self.more = False
        if self.failed:
            return events
        self.now = now
        self.events = events
        try:
            self._receive(data)
        except ConnectionViolation as violation:
            self.fail(violation)
        return events

    def fail(self, violation: ConnectionViolation) -> None:
        """End the connection with GOAWAY."""
        if not self.failed:
            self.failed = f"{ErrorCode(violation.code).name}: {violation.reason}"
            self.go_away(self.last_stream_id, violation.code, violation.reason)

    def lost(self) -> list[Event]:
        """Nobody is there any more: every open stream ends; what that means for its call."""
        events: list[Event] = []
        self.events = events
        for stream in list(self.streams.values()):
            self.ended_early(stream)
        return events

    def close_gracefully(self, *, last: bool) -> None:
        """The two steps of RFC 9113 §6.8: first every stream may still come, then none that we have not seen."""
        self.go_away(self.last_stream_id if last else frames.STREAM_ID_MAX)
        self.closing |= last

    def give_back(self, stream: Stream, size: int) -> None:
        """`size` bytes of a body were taken in: once that is worth a frame, the peer may send as many again."""
        body = stream.body
        if body is None:
            return
        body.owed += size
        if stream.state in AFTER_END_RECEIVED and body.owed * 2 >= self.caps.stream_window:
            self.put(frames.window_update(stream.stream_id, body.owed))
            body.window += body.owed
            body.owed = 0

    def received(self, size: int) -> None:
        """So many bytes of DATA came, whoever they were for; half a window of them is told to the peer."""
        self.receive_window -= size
        if self.receive_window < 0:
            raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the connection's window allows")
        self._owed += size
        if self._owed * 2 >= self.caps.connection_window:
            self.put(frames.window_update(frames.CONNECTION, self._owed))
            self.receive_window += self._owed
            self._owed = 0

    def _receive(self, data: bytes) -> None:
        position = 0
        if not self._preface_received:
            position = self._receive_preface(data)
            if not position:
                self._rest = data
                return
        total, take, left = len(data), self._lane.take, FRAMES_AT_ONCE
        while total - position >= frames.HEADER_BYTES:
            if data[position + 3] <= frames.HEADERS:
                position = take(data, position)
                if total - position < frames.HEADER_BYTES:
                    break
            size = int.from_bytes(data[position : position + 3], "big")
            if size > frames.FRAME_BYTES_MAX:
                raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {size} bytes")
            start = position + frames.HEADER_BYTES
            if start + size > total:
                break
            if not left:
                self.more = True
                break
            left -= 1
            self._frame(data[position + 3], data[position + 4], data[position + 5 : start], data[start : start + size])
            position = start + size
        self._rest = data[position:]

    def _receive_preface(self, data: bytes) -> int:
        size = len(frames.PREFACE)
        if not frames.PREFACE.startswith(data[:size]):
            raise protocol_error("this is not HTTP/2")
        if len(data) < size:
            return 0
        self._preface_received = True
        return size

    def _frame(self, kind: int, flags: int, stream_id: bytes, payload: bytes) -> None:
        stream_id = plain(stream_id)
        if self.continued is not None and (kind != frames.CONTINUATION or stream_id != self.continued[0]):
            raise protocol_error("a header block is interrupted")
        if not self.settings_received and (kind != frames.SETTINGS or flags & frames.ACK):
            raise protocol_error("the first frame is not SETTINGS")
        if kind >= len(self._handlers):
            self.glitch()
            return
        try:
            self._handlers[kind](flags, stream_id, payload)
        except StreamViolation as violation:
            self._violated(stream_id, violation.code)

    def _violated(self, stream_id: bytes, code: int) -> None:
        self.glitch()
        self.control()
        stream = self.streams.get(stream_id)
        self.put(frames.rst_stream(stream_id, code))
        self.remember_reset(stream_id)
        if stream is not None:
            self.ended_early(stream)

    def on_headers(self, flags: int, stream_id: bytes, payload: bytes) -> None:
        """HEADERS: a request, or trailers (RFC 9113 §6.2)."""
        if not stream_id[3] & 1:
            raise protocol_error("HEADERS on a stream that is not a client's")
        if flags & frames.PADDED:
            payload = _unpadded(payload)
        on_itself = False
        if flags & frames.WITH_PRIORITY:
            if len(payload) < 5:
                raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "HEADERS are too short for their priority")
            on_itself, payload = plain(payload[:4]) == stream_id, payload[5:]
        if flags & frames.END_HEADERS:
            self._header_block(stream_id, payload, ended=bool(flags & 1), on_itself=on_itself)
        else:
            self.continued = stream_id, flags, on_itself, [payload]

    def on_continuation(self, flags: int, _: bytes, payload: bytes) -> None:
        """CONTINUATION: more of a header block (RFC 9113 §6.10)."""
        if self.continued is None:
            raise protocol_error("CONTINUATION without HEADERS")
        stream_id, first_flags, on_itself, parts = self.continued
        parts.append(payload)
        if len(parts) > self.caps.continuations_max or sum(map(len, parts)) > self.caps.header_bytes_max:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "the header block is too large")
        if len(payload) < TINY_BYTES:
            self.glitch()
        if flags & frames.END_HEADERS:
            self.continued = None
            self._header_block(stream_id, b"".join(parts), ended=bool(first_flags & 1), on_itself=on_itself)

    def _header_block(self, stream_id: bytes, block: bytes, *, ended: bool, on_itself: bool) -> None:
        if stream_id <= self.last_stream_id:
            self._later_block(stream_id, block, ended=ended)
            return
        self.last_stream_id = stream_id
        head = self.memo.find(block) or self._head(block)
        if on_itself:
            raise malformed("a stream depends on itself")
        if self.closing:
            # RFC 9113 §6.8: streams above the last one told in GOAWAY are ignored.
            self.glitch()
            self.remember_reset(stream_id)
            return
        if not self.has_room():
            raise StreamViolation(ErrorCode.REFUSED_STREAM, "too many streams")
        if ended and head.content_length:
            raise malformed("the body is not as long as its content-length")
        state = State.HALF_CLOSED_REMOTE if ended else State.OPEN
        deadline = self.now + head.call.timeout_s
        self.earliest_deadline = min(self.earliest_deadline, deadline)
        stream = self.new_stream(self, stream_id, head, deadline, state)
        self.streams[stream_id] = stream
        if ended or head.call.direct is None:
            self._announce(stream, ended=ended)

    def _announce(self, stream: Stream, *, ended: bool = False) -> Body:
        """Tell of a new request. One to a direct method has nothing to tell of before its body comes."""
        stream.body = Body(self.caps.stream_window)
        self.events.append((REQUEST, stream, b"", ended))
        return stream.body

    def has_room(self) -> bool:
        """Whether another stream may open; before our SETTINGS are acknowledged the peer cannot know how many may."""
        most = self.caps.streams_max if self.settings_acknowledged else 2 * self.caps.streams_max
        return len(self.streams) + self.orphans < most

    def _later_block(self, stream_id: bytes, block: bytes, *, ended: bool) -> None:
        """Trailers; or headers on a stream that is over."""
        fields = self._decode(block).fields
        self.glitch()
        stream = self.streams.get(stream_id)
        if stream is None:
            if not self.was_reset(stream_id):
                raise ConnectionViolation(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
            return
        if stream.state not in AFTER_END_RECEIVED:
            raise StreamViolation(ErrorCode.STREAM_CLOSED, "HEADERS after the end of the stream")
        if not ended:
            raise malformed("trailers that do not end the stream")
        self._heads.check_trailers(fields)
        if stream.body is None:
            self._announce(stream)
        self._body_ended(stream)
        self.events.append((DATA, stream, b"", True))

    def _head(self, block: bytes) -> RequestHead:
        decoded = self._decode(block)
        head = self._heads.head(decoded.fields)
        if self._traced and head.metadata:
            head = read_parent(head)
        if head.call.direct is not None and not self._table_refused:
            self._refuse_table()
        if not decoded.changes_table:
            self.memo.learn(block, decoded, head)
        return head

    def _refuse_table(self) -> None:
        """From the first call of a direct method on: blocks that depend on no table can be recognised as they are.

        A peer that goes on with the table that it has is borne with; it may not ask for one again.
        """
        self._table_refused = self.awaits_no_table = True
        self.put(frames.settings({frames.HEADER_TABLE_SIZE: 0}))

    def no_table(self) -> None:
        self._decoder.table_bytes_max = 0

    def _decode(self, block: bytes) -> Any:
        if len(block) > self.caps.header_bytes_max:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "the header block is too large")
        decoded = self._decoder.decode(block)
        if decoded.changes_table:
            self.memo.table_changed()
            self._lane.table_changed()
        return decoded

    def on_data(self, flags: int, stream_id: bytes, payload: bytes) -> None:
        """DATA: more of a request's body (RFC 9113 §6.1)."""
        size = len(payload)
        self.received(size)
        if stream_id > self.last_stream_id or stream_id == frames.CONNECTION:
            raise protocol_error("DATA on an idle stream")
        stream = self.streams.get(stream_id)
        if stream is None or stream.state not in AFTER_END_RECEIVED:
            self.glitch()
            if stream is None and self.was_reset(stream_id):
                return
            raise StreamViolation(ErrorCode.STREAM_CLOSED, "DATA after the end of the stream")
        self._body_came(stream, stream.body or self._announce(stream), flags, payload)

    def _body_came(self, stream: Stream, body: Body, flags: int, payload: bytes) -> None:
        size, ended = len(payload), bool(flags & frames.END_STREAM)
        body.window -= size
        if body.window < 0:
            raise StreamViolation(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the stream's window allows")
        data = _unpadded(payload) if flags & frames.PADDED else payload
        if size != len(data):
            self.give_back(stream, size - len(data))
        if len(data) < TINY_BYTES and not ended:
            self.glitch()
        body.received += len(data)
        if ended:
            self._body_ended(stream)
        elif stream.head.content_length is not None and body.received > stream.head.content_length:
            raise malformed("the body is longer than its content-length")
        self.events.append((DATA, stream, data, ended))

    def _body_ended(self, stream: Stream) -> None:
        received = stream.body.received if stream.body is not None else 0
        if stream.head.content_length not in (None, received):
            raise malformed("the body is not as long as its content-length")
        stream.state = AFTER_END_RECEIVED[stream.state]


def _unpadded(payload: bytes) -> bytes:
    if not payload or payload[0] >= len(payload):
        raise protocol_error("the padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]
