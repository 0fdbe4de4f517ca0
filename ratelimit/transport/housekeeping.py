"""The frames of HTTP/2 that keep a connection going and carry no request (RFC 9113 §6.3 to §6.9).

What a peer costs beyond answered requests is counted in one place, `glitch`: frames that bring nothing, requests reset
before they were whole, streams that we had to reset. Answered calls and `grant`, called every second, pay it back;
beyond the bound the peer is told to calm down.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ratelimit.errors import ConnectionViolation, StreamViolation
from ratelimit.transport import frames
from ratelimit.transport.acknowledging import Acknowledgements
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.request_head import malformed
from ratelimit.transport.sending import Sender
from ratelimit.transport.streams import AFTER_END_RECEIVED, State, Stream

UNARY, REQUEST, DATA, RESET = range(4)
"""Kinds of events.

- (UNARY, method, calls, messages): whole unary requests for one direct method
- (REQUEST, stream, b"", ended): a new request's head; `ended` where it has no body
- (DATA, stream, data, ended): more of its body
- (RESET, stream, b"", waited): it ended, by the peer or by a violation; `waited` where its call had no answer yet
"""
Event = tuple[int, Any, Any, Any]

GRANT = 1000
PAID_BACK = 4
# So many streams with a window of their own make a change of all windows as dear as another glitch.
WINDOWS_PER_GLITCH = 16


@dataclass(frozen=True, slots=True)
class Caps:
    """The bounds of one connection, in bytes and pieces; docs/configuration.md has their settings."""

    streams_max: int = 1000
    message_bytes_max: int = 4 * 1024 * 1024
    header_bytes_max: int = 16 * 1024
    header_fields_max: int = 100
    continuations_max: int = 8
    control_frames_max: int = 1000
    glitches_max: int = 10_000
    # What a stream may send beyond what was taken in, what all of them may, and what may lie in unfinished requests.
    stream_window: int = 256 * 1024
    connection_window: int = 16 * 1024 * 1024
    buffered_bytes_max: int = 16 * 1024 * 1024


class Housekeeping(Sender):
    """A connection's settings, windows, pings and resets, and its account of glitches."""

    def __init__(self, caps: Caps, on_output: Callable[[], None]) -> None:
        super().__init__(on_output)
        self.caps = caps
        self.events: list[Event] = []
        self.glitches = 0
        self.now = 0.0
        # What the answers to our PINGs carried.
        self.pings_answered: list[bytes] = []
        self.acknowledgements = Acknowledgements(self.put, self.output)
        self.settings_received = False
        self.settings_acknowledged = False
        self.awaits_no_table = False
        self.last_stream_id = frames.CONNECTION
        # The last stream that had come before this read: a later one is reset by the bytes that brought it.
        self.last_before_read = frames.CONNECTION
        self._control_frames = 0
        # The bytes that were inflated in this read.
        self.inflated = 0

    def glitch(self, times: int = 1) -> None:
        """Count something that cost us and brought nothing. Raises ConnectionViolation beyond the bound."""
        self.glitches += times
        if self.glitches > self.caps.glitches_max:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that bring nothing")

    def pay_back(self, calls: int) -> None:
        """So many calls came whole."""
        self.glitches = max(0, self.glitches - PAID_BACK * calls)

    def grant(self) -> None:
        """A second passed."""
        self.glitches = max(0, self.glitches - GRANT)

    def ended_early(self, stream: Stream) -> None:
        """The peer, its deadline or its own fault ended a stream."""
        waited, stream.waiting = stream.waiting, False
        whole = stream.body is None and stream.state not in AFTER_END_RECEIVED
        self.forget(stream)
        if whole and waited:
            self.abandon(stream)
        self.events.append((RESET, stream, b"", waited))

    def abandon(self, stream: Stream) -> None:
        """A call is still being worked on, and keeps its place among the streams until that ends."""
        stream.state = State.ABANDONED
        self.orphans += 1

    def work_ended(self, stream: Stream) -> None:
        """Nothing is done any more for a stream that is over."""
        if stream.state is State.ABANDONED:
            stream.state = State.CLOSED
            self.orphans -= 1

    def control(self) -> None:
        """One more frame that the peer makes us send."""
        self._control_frames += 1
        if self._control_frames > self.caps.control_frames_max:
            raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many answers are waiting to be read")

    def read_begins(self) -> None:
        """What was to be sent until now is out of our hands."""
        self._control_frames = self.inflated = 0
        self.last_before_read = self.last_stream_id

    def on_priority(self, _: int, stream_id: bytes, payload: bytes) -> None:
        """PRIORITY: checked, and ignored."""
        if stream_id == frames.CONNECTION:
            raise protocol_error("PRIORITY on stream 0")
        if len(payload) != 5:
            raise StreamViolation(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong length")
        if plain(payload[:4]) == stream_id:
            raise malformed("a stream depends on itself")
        self.glitch()

    def on_rst_stream(self, _: int, stream_id: bytes, payload: bytes) -> None:
        """RST_STREAM: the peer gave a request up."""
        check_length("RST_STREAM", payload, 4)
        if stream_id == frames.CONNECTION or stream_id > self.last_stream_id:
            raise protocol_error("RST_STREAM on an idle stream")
        stream = self.streams.get(stream_id)
        if stream is None or stream.state in AFTER_END_RECEIVED or stream_id > self.last_before_read:
            self.glitch()
        if stream is not None:
            self.ended_early(stream)

    def on_settings(self, flags: int, stream_id: bytes, payload: bytes) -> None:
        """SETTINGS: applied and acknowledged; or the answer to ours."""
        if stream_id != frames.CONNECTION:
            raise protocol_error("SETTINGS on a stream")
        if flags & frames.ACK:
            check_length("SETTINGS with ACK", payload, 0)
            if self.settings_acknowledged and not self.awaits_no_table:
                self.glitch()
            elif self.settings_acknowledged:
                self.awaits_no_table = False
                self.no_table()
            self.settings_acknowledged = True
            return
        if len(payload) % 6:
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
        self.settings_received = True
        self.glitch(1 + len(payload) // 60)
        # First the answer, then what a wider window lets go out.
        self.control()
        self.put(frames.frame(frames.SETTINGS, frames.ACK, frames.CONNECTION))
        window = self.stream_window
        for name, value in struct.iter_unpack(">HL", payload):
            check_setting(name, value)
            if name == frames.INITIAL_WINDOW_SIZE:
                window = value
        # Once a frame, however often it changes them: each change may touch every stream.
        if window != self.stream_window:
            self._change_windows(window)

    def no_table(self) -> None:
        """The peer knows that we want no dynamic table."""
        raise NotImplementedError

    def _change_windows(self, window: int) -> None:
        self.glitch(len(self._outflows) // WINDOWS_PER_GLITCH)
        if self.widen_all(window - self.stream_window) > frames.WINDOW_MAX:
            raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "a window grows above 2^31-1")

    def on_push_promise(self, *_: object) -> None:
        """PUSH_PROMISE: not from a client."""
        raise protocol_error("a client cannot push")

    def on_ping(self, flags: int, stream_id: bytes, payload: bytes) -> None:
        """PING: answered; or the answer to ours."""
        check_length("PING", payload, 8)
        if stream_id != frames.CONNECTION:
            raise protocol_error("PING on a stream")
        if flags & frames.ACK:
            if not self.acknowledgements.answered(payload, self.now):
                self.glitch()
            self.pings_answered.append(payload)
            return
        self.glitch()
        self.control()
        self.put(frames.frame(frames.PING, frames.ACK, frames.CONNECTION, payload))

    def on_goaway(self, _: int, stream_id: bytes, payload: bytes) -> None:
        """GOAWAY: the client opens no more streams; those that are open are served."""
        if stream_id != frames.CONNECTION:
            raise protocol_error("GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY is too short")
        self.glitch()

    def on_window_update(self, _: int, stream_id: bytes, payload: bytes) -> None:
        """WINDOW_UPDATE: the connection or a stream may send more."""
        check_length("WINDOW_UPDATE", payload, 4)
        increment = int.from_bytes(plain(payload), "big")
        self.glitch()
        if stream_id == frames.CONNECTION:
            if increment == 0:
                raise protocol_error("WINDOW_UPDATE of 0")
            if self.window + increment > frames.WINDOW_MAX:
                raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "the window grows above 2^31-1")
            self.widen(increment)
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id > self.last_stream_id:
                raise protocol_error("WINDOW_UPDATE on an idle stream")
            return
        if increment == 0:
            raise malformed("WINDOW_UPDATE of 0")
        if self.outflow_of(stream).window + increment > frames.WINDOW_MAX:
            raise StreamViolation(ErrorCode.FLOW_CONTROL_ERROR, "the window grows above 2^31-1")
        self.widen_stream(stream, increment)


def plain(four: bytes) -> bytes:
    """Four bytes without their reserved bit."""
    return four if four[0] < 0x80 else bytes((four[0] & 0x7F,)) + four[1:]


def protocol_error(reason: str) -> ConnectionViolation:
    """The peer broke HTTP/2."""
    return ConnectionViolation(ErrorCode.PROTOCOL_ERROR, reason)


def check_setting(name: int, value: int) -> None:
    """Raises ConnectionViolation for a value that a setting may not have (RFC 9113 §6.5.2)."""
    if name == frames.INITIAL_WINDOW_SIZE and value > frames.WINDOW_MAX:
        raise ConnectionViolation(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE is above 2^31-1")
    if name == frames.ENABLE_PUSH and value > 1:
        raise protocol_error("ENABLE_PUSH is neither 0 nor 1")
    if name == frames.MAX_FRAME_SIZE and not frames.FRAME_BYTES_MAX <= value < 2**24:
        raise protocol_error("MAX_FRAME_SIZE is out of range")


def check_length(name: str, payload: bytes, wanted: int) -> None:
    """Raises ConnectionViolation for a frame whose length is not what it must be."""
    if len(payload) != wanted:
        raise ConnectionViolation(ErrorCode.FRAME_SIZE_ERROR, f"{name} of {len(payload)} bytes")
