"""A connection without a socket, and the client's side of it in frames: for tests of what runs on it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import hpack

from ratelimit.transport import frames
from ratelimit.transport.calls import Call, deliver
from ratelimit.transport.connection import Connection
from ratelimit.transport.grpc import CallHead, frame_message, read_head
from ratelimit.transport.housekeeping import Caps

HEAD = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Servicer/method"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)
FIRST = (1).to_bytes(4, "big")


async def until(holds: Callable[[], bool]) -> None:
    """Let the event loop go on until this holds."""
    while not holds():  # noqa: ASYNC110 - what is looked at tells nobody
        await asyncio.sleep(0.0005)


class Peer:
    """A client of one method. Every call of it is in `calls`."""

    def __init__(self, method: Any, caps: Caps | None = None) -> None:
        self.calls: list[Call] = []
        self.now = 0.0
        self._method = method
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self.connection = Connection(caps or Caps(), self._judge, self._call, lambda: None)
        self.connection.begin()
        self.send(frames.PREFACE + frames.settings({}))

    def send(self, data: bytes) -> None:
        """Bytes from the client."""
        deliver(self.connection, self.connection.receive_data(data, self.now))
        while self.connection.more:
            deliver(self.connection, self.connection.receive_more(self.now))

    def request(self, *more: tuple[str, str], stream_id: bytes = FIRST, end: bool = False) -> Call:
        """The head of a request."""
        block = self._encoder.encode([*HEAD, *more])
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        self.send(frames.frame(frames.HEADERS, flags, stream_id, block))
        return self.calls[-1]

    def message(self, message: bytes, *, stream_id: bytes = FIRST, end: bool = False) -> None:
        """A message, in as many frames as it needs."""
        body = frame_message(message)
        size = frames.FRAME_BYTES_MAX
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        for piece in pieces[:-1]:
            self.send(frames.frame(frames.DATA, 0, stream_id, piece))
        self.send(frames.frame(frames.DATA, frames.END_STREAM if end else 0, stream_id, pieces[-1]))

    def reset(self, stream_id: bytes = FIRST) -> None:
        """The client gives up."""
        self.send(frames.frame(frames.RST_STREAM, 0, stream_id, bytes(4)))

    def received(self) -> list[tuple[int, bytes, Any]]:
        """What the server has sent since: (kind, stream id, fields or payload) of each frame."""
        data, found = self.connection.data_to_send(), []
        while data:
            size = int.from_bytes(data[:3], "big")
            kind, stream_id, payload = data[3], data[5:9], data[9 : 9 + size]
            content: Any = self._decoder.decode(payload) if kind == frames.HEADERS else payload
            found.append((kind, stream_id, content))
            data = data[9 + size :]
        return found

    def answer(self) -> tuple[dict[str, str], bytes]:
        """The fields of all headers and trailers since, and the body."""
        received = self.received()
        fields = {name: value for kind, _, content in received if kind == frames.HEADERS for name, value in content}
        return fields, b"".join(content for kind, _, content in received if kind == frames.DATA)

    def _judge(self, fields: Mapping[bytes, bytes]) -> CallHead:
        head = read_head(fields)
        head.method = self._method
        return head

    def _call(self, *given: Any) -> Call:
        self.calls.append(Call(*given))
        return self.calls[-1]
