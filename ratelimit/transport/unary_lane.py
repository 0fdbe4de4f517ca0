"""The fast lane: whole unary requests to direct methods, in one loop without an object per frame.

    HEADERS, END_HEADERS | id | a block that is known    DATA, END_STREAM | same id | prefix, one plain message
    └─ as the one before ─┘    └─ in memo ───────────┘   └─ by its 5 bytes: size and prefix ─────┘

The two frames of a request may follow each other, or come with those of others between them, as the client's library
has it. What does not look so, to the byte, is left to connection.py; the lane changes nothing before it is sure.
`make bench` earns its shape: a frame handled alone costs several microseconds, a request here less than one.
"""

import math
from typing import Any

from ratelimit.transport import frames
from ratelimit.transport.grpc import PREFIX_BYTES
from ratelimit.transport.housekeeping import UNARY
from ratelimit.transport.streams import State

MESSAGE_BYTES_MAX = 4096
_BEYOND_IDS = b"\x80\0\0\0"
_HEADERS_ENDED = bytes((frames.HEADERS, frames.END_HEADERS))
_OPEN, _HALF_CLOSED = State.OPEN, State.HALF_CLOSED_REMOTE

# The first five bytes of a DATA frame that ends its stream -> its size, and the prefix of the one message in it.
_DATA: dict[bytes, tuple[int, bytes]] = {
    frames.start_of(frames.DATA, frames.END_STREAM, size): (size, b"\0" + (size - PREFIX_BYTES).to_bytes(4, "big"))
    for size in range(PREFIX_BYTES, PREFIX_BYTES + MESSAGE_BYTES_MAX + 1)
}


_HeadersFrame = tuple[bytes, bytes, int, Any]
# No frame begins so: it would be longer than any may be.
_NO_FRAME: _HeadersFrame = (b"\xff", b"", 0, None)


class UnaryLane:
    """The lane of one connection. `_hot` is the HEADERS frame that came last: its start, block, size and head."""

    __slots__ = ("_connection", "_hot")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._hot = _NO_FRAME

    def table_changed(self) -> None:
        """What depended on the dynamic table means something else now."""
        self._hot = _NO_FRAME

    def take(self, data: bytes, position: int) -> int:
        """Take requests from `position` on; where the first frame begins that is none of the lane's."""
        connection = self._connection
        if (
            connection.continued is not None
            or connection.closing
            or not connection.settings_received
            or len(data) > connection.receive_window
            or connection.caps.message_bytes_max < MESSAGE_BYTES_MAX
        ):
            return position
        calls: list[Any] = []
        messages: list[bytes] = []
        position = self._take(data, position, calls, messages)
        if calls:
            connection.received(sum(map(len, messages)) + PREFIX_BYTES * len(messages))
            connection.pay_back(len(calls))
            direct = calls[0].head.call.direct
            if all(call.head.call.direct is direct for call in calls):
                connection.events.append((UNARY, direct, calls, messages))
            else:
                each = zip(calls, messages, strict=True)
                connection.events += [(UNARY, call.head.call.direct, [call], [message]) for call, message in each]
        return position

    def _take(self, data: bytes, position: int, calls: list[Any], messages: list[bytes]) -> int:  # noqa: C901, PLR0912
        """The loop of `take`: adds the calls that came whole, and their messages. `make bench` earns its length."""
        connection = self._connection
        streams, new_stream, now, memo = connection.streams, connection.new_stream, connection.now, connection.memo
        room, total = connection.caps.streams_max - len(streams) - connection.orphans, len(data)
        start, block, size, hot_head = self._hot
        head = hot_head
        deadline = now + head.call.timeout_s if head is not None else math.inf
        earliest = min(deadline, connection.earliest_deadline)
        while True:
            call, at = None, position
            if data.startswith(start, position) and data.startswith(block, position + 9):
                at += size
                if head is not hot_head:
                    head, deadline = hot_head, now + hot_head.call.timeout_s
            elif data[position + 3 : position + 5] == _HEADERS_ENDED:
                at += 9 + int.from_bytes(data[position : position + 3], "big")
                found = memo.find_in(data, position + 9, at)
                if found is None or found.call.direct is None or at > total:
                    break
                if found is not head:
                    head, deadline = found, now + found.call.timeout_s
                    earliest = min(earliest, deadline)
                if memo.exact is not None:
                    start, block, size = data[position : position + 5], memo.exact, at - position
                    self._hot, hot_head = (start, block, size, head), head
            if at != position:
                stream_id = data[position + 5 : position + 9]
                if room <= 0 or not connection.last_stream_id < stream_id < _BEYOND_IDS or not stream_id[3] & 1:
                    break
                call = streams[stream_id] = new_stream(connection, stream_id, head, deadline, _OPEN)
                connection.last_stream_id = stream_id
                room, position = room - 1, at
            shape = _DATA.get(data[at : at + 5])
            if shape is None:
                if call is None:
                    break
                continue
            if call is None or not data.startswith(stream_id, at + 5):
                call = streams.get(data[at + 5 : at + 9])
            end = at + 9 + shape[0]
            if (
                call is None
                or end > total
                or call.state is not _OPEN
                or call.body is not None
                or call.head.content_length not in (None, shape[0])
                or not data.startswith(shape[1], at + 9)
            ):
                break
            call.state = _HALF_CLOSED
            calls.append(call)
            messages.append(data[at + 14 : end])
            position = end
        connection.earliest_deadline = earliest
        return position
