"""A connection of the native server on a transport that only notes what is done to it, and its client."""

import asyncio
from collections.abc import Mapping
from typing import Any

from ratelimit.metrics import GrpcStats
from ratelimit.transport import frames
from ratelimit.transport.grpc import CallHead, read_head
from ratelimit.transport.housekeeping import Caps
from ratelimit.transport.native_connection import NativeConnection, Patience
from tests.transport.core import STREAMED, Frame, Streamed, parsed

GREETING = frames.PREFACE + frames.settings({}) + frames.frame(frames.SETTINGS, frames.ACK, bytes(4))
PATIENCE = Patience(handshake_s=1, keepalive_s=10, keepalive_answer_s=3, stalled_write_s=20, age_grace_s=50)


class Transport(asyncio.Transport):
    """Notes what is written and done; `buffered` bytes wait in it."""

    def __init__(self, **extra: Any) -> None:
        super().__init__({"peername": ("192.0.2.1", 1234), **extra})
        self.written = b""
        self.done: list[str] = []
        self.buffered = 0
        self.eof_fails = False

    def write(self, data: Any) -> None:
        self.written += data

    def write_eof(self) -> None:
        self.done.append("eof")
        if self.eof_fails:
            raise OSError

    def can_write_eof(self) -> bool:
        return True

    def abort(self) -> None:
        self.done.append("abort")

    def close(self) -> None:
        self.done.append("close")

    def is_closing(self) -> bool:
        return "abort" in self.done or "close" in self.done

    def pause_reading(self) -> None:
        self.done.append("pause")

    def resume_reading(self) -> None:
        self.done.append("resume")

    def get_write_buffer_size(self) -> int:
        return self.buffered


class Peer:
    """The client and the server around one connection. `at` is seconds since it was made."""

    def __init__(self, patience: Patience = PATIENCE, *, greet: bool = True, room: bool = True, **extra: Any) -> None:
        self.caps = Caps()
        self.stats = GrpcStats()
        self.violations: list[str] = []
        self.calls: list[Any] = []
        self.streamed: list[Streamed] = []
        self.closed_times = 0
        self._room = room
        self._loop = asyncio.get_running_loop()
        self.transport = Transport(**extra)
        self.connection = NativeConnection(self, patience)
        self.start = self._loop.time()
        self.connection.connection_made(self.transport)
        if greet:
            self.feed(GREETING)
            self.sent()

    def judge(self, fields: Mapping[bytes, bytes]) -> CallHead:
        """All but one path is a direct method's."""
        head = read_head(fields)
        if head.path == STREAMED:
            head.method = self._stream
        else:
            head.method = head.direct = lambda calls, _: self.calls.extend(calls)
        return head

    def has_output(self, connection: NativeConnection) -> None:
        """`sent` flushes."""

    def opened(self, _: NativeConnection) -> bool:
        """Whether there is room."""
        return self._room

    def closed(self, _: NativeConnection) -> None:
        """It is gone."""
        self.closed_times += 1

    def violated(self, _: NativeConnection, reason: str) -> None:
        """Its client broke the rules."""
        self.violations.append(reason)

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        self.connection.data_received(data)

    def sent(self) -> list[Frame]:
        """The frames that went out since."""
        self.connection.flush()
        written, self.transport.written = self.transport.written, b""
        return parsed(written)

    def second(self, at: float) -> list[Frame]:
        """What the look of that second makes it send."""
        self.connection.second(self.start + at)
        return self.sent()

    def _stream(self, call: Any) -> Streamed:
        self.streamed.append(Streamed(call))
        return self.streamed[-1]
