"""HTTP/2 frames as bytes: their layout, names and packers (RFC 9113 §4 and §6).

A stream's id is kept as its four bytes, as on the wire: big-endian numbers compare like their bytes do.
"""

import struct
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9
FRAME_BYTES_MAX = 16_384
WINDOW_MAX = 2**31 - 1
DEFAULT_WINDOW = 65_535
CONNECTION = b"\0\0\0\0"
STREAM_ID_MAX = b"\x7f\xff\xff\xff"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6


class ErrorCode(IntEnum):
    """RFC 9113 §7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


def frame(kind: int, flags: int, stream_id: bytes, payload: bytes | memoryview = b"") -> bytes:
    """One frame; the payload is at most FRAME_BYTES_MAX long."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id + payload


def start_of(kind: int, flags: int, size: int) -> bytes:
    """What stands before the stream id of a frame with a payload of `size` bytes."""
    return size.to_bytes(3, "big") + bytes((kind, flags))


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame of identifiers and values."""
    payload = b"".join(struct.pack(">HL", name, value) for name, value in values.items())
    return frame(SETTINGS, 0, CONNECTION, payload)


def rst_stream(stream_id: bytes, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def window_update(stream_id: bytes, increment: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def goaway(last_stream_id: bytes, code: int, reason: str = "") -> bytes:
    """A GOAWAY frame whose debug data is the reason."""
    return frame(GOAWAY, 0, CONNECTION, last_stream_id + code.to_bytes(4, "big") + reason.encode()[:256])
