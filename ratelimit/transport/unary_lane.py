"""The fast lane: whole unary requests of one read, in one loop without an object per frame.

    HEADERS, END_HEADERS | id | a block that is known    DATA, END_STREAM | same id | prefix, one plain message
    └─ as the one before ─┘    └─ in memo ───────────┘   └─ by its 5 bytes: size and prefix ─────┘

What does not look so, to the byte, is left to connection.py from its first frame on; the lane changes nothing before it
is sure. `make bench` earns its shape: a frame handled alone costs several microseconds, a request here less than one.
"""

from typing import Any

from ratelimit.transport import frames
from ratelimit.transport.grpc import PREFIX_BYTES
from ratelimit.transport.housekeeping import UNARY
from ratelimit.transport.request_head import RequestHead
from ratelimit.transport.streams import State

MESSAGE_BYTES_MAX = 4096
_BEYOND_IDS = b"\x80\0\0\0"
_HEADERS_ENDED = bytes((frames.HEADERS, frames.END_HEADERS))

# The first five bytes of a DATA frame that ends its stream -> its size, and the prefix of the one message in it.
_Data = tuple[int, bytes]
_DATA: dict[bytes, _Data] = {
    frames.start_of(frames.DATA, frames.END_STREAM, size): (size, b"\0" + (size - PREFIX_BYTES).to_bytes(4, "big"))
    for size in range(PREFIX_BYTES, PREFIX_BYTES + MESSAGE_BYTES_MAX + 1)
}


class UnaryLane:
    """The lane of one connection. It remembers the block that came last."""

    __slots__ = ("_block", "_connection", "_head", "_size", "_start")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._start = b"\xff"
        self._block = b""
        self._size = 0
        self._head: RequestHead | None = None

    def take(self, data: bytes, position: int) -> int:
        """Take requests from `position` on; where the first one begins that is none of the lane's."""
        connection = self._connection
        if connection.continued is not None or connection.closing or not connection.settings_received:
            return position
        if len(data) > connection.receive_window:
            return position
        streams, new_stream, now = connection.streams, connection.new_stream, connection.now
        room = connection.caps.streams_max - len(streams) - connection.orphans
        last, before = connection.last_stream_id, position
        start, block, size, head = self._start, self._block, self._size, self._head
        direct, deadline, total = None, 0.0, len(data)
        calls: list[Any] = []
        messages: list[bytes] = []
        body_bytes = 0
        if head is not None:
            deadline = now + head.call.timeout_s
        while room > 0:
            if data.startswith(start, position) and data.startswith(block, position + 9):
                at = position + size
            else:
                found = self._frame_at(data, position, total)
                if found is None:
                    break
                start, block, size, head = found
                at, deadline = position + size, now + head.call.timeout_s
            shape = _DATA.get(data[at : at + 5])
            if shape is None:
                break
            stream_id = data[position + 5 : position + 9]
            end = at + 9 + shape[0]
            if (
                end > total
                or not last < stream_id < _BEYOND_IDS
                or not stream_id[3] & 1
                or not data.startswith(stream_id + shape[1], at + 5)
            ):
                break
            if direct is not head.call.direct:  # type: ignore[union-attr] # a block that was found has a head
                if calls:
                    break  # for another method: another round
                direct = head.call.direct  # type: ignore[union-attr]
            messages.append(data[at + 14 : end])
            call = new_stream(connection, stream_id, head, deadline, _HALF_CLOSED)
            streams[stream_id] = call
            calls.append(call)
            body_bytes += shape[0]
            room -= 1
            last, position = stream_id, end
        self._start, self._block, self._size, self._head = start, block, size, head
        if calls:
            connection.last_stream_id = last
            connection.events.append((UNARY, direct, calls, messages))
            connection.received(body_bytes)
            if connection.glitches:
                connection.pay_back(len(calls))
        return position if calls else before

    def _frame_at(self, data: bytes, position: int, total: int) -> tuple[bytes, bytes, int, RequestHead] | None:
        """The HEADERS frame at `position`, where it is of the lane: its start, block, size and head."""
        start = data[position : position + 5]
        if start[3:] != _HEADERS_ENDED:
            return None
        size = 9 + int.from_bytes(start[:3], "big")
        if position + size > total:
            return None
        block = data[position + 9 : position + size]
        head: RequestHead | None = self._connection.memo.find(block)
        if head is None or head.call.direct is None or head.content_length is not None:
            return None
        return start, block, size, head


_HALF_CLOSED = State.HALF_CLOSED_REMOTE
