"""HTTP/2 frames and header blocks as bytes to send, right or wrong: each field can be said (RFC 9113, 4 and 6).

Header fields are written as literals without indexing and without Huffman coding, so that a block means the same
whatever stood before it, and so that names and values can be wrong (RFC 7541, section 6.2.2).
"""

from collections.abc import Iterable
from enum import IntEnum

from hpack.hpack import encode_integer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY = 0x20
Field = tuple[bytes, bytes]


class Kind(IntEnum):
    """Frame types (section 6); 0x16 stands for one that nobody has defined."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    UNKNOWN = 0x16


def frame(kind: int, payload: bytes = b"", *, stream: int = 0, flags: int = 0, length: int | None = None) -> bytes:
    """Any frame; `length` may lie about the payload."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def padded(payload: bytes, size: int) -> bytes:
    """The payload with `size` bytes of padding; its frame needs the flag PADDED."""
    return bytes((size,)) + payload + b"\0" * size


def data(stream: int, payload: bytes = b"", *, end: bool = False, pad: int | None = None) -> bytes:
    """DATA, with padding if `pad` says how much."""
    flags = end * END_STREAM | (pad is not None) * PADDED
    return frame(Kind.DATA, payload if pad is None else padded(payload, pad), stream=stream, flags=flags)


def headers(
    stream: int,
    block: bytes,
    *,
    end: bool = False,
    whole: bool = True,
    pad: int | None = None,
    priority: bytes = b"",
) -> bytes:
    """HEADERS: `end` ends the stream, `whole` the block; `priority` as `dependency` writes it."""
    flags = end * END_STREAM | whole * END_HEADERS | (pad is not None) * PADDED | bool(priority) * PRIORITY
    payload = priority + block
    return frame(Kind.HEADERS, payload if pad is None else padded(payload, pad), stream=stream, flags=flags)


def continuation(stream: int, block: bytes, *, whole: bool = True) -> bytes:
    """CONTINUATION; `whole` ends the block."""
    return frame(Kind.CONTINUATION, block, stream=stream, flags=whole * END_HEADERS)


def dependency(on: int, *, weight: int = 16, exclusive: bool = False) -> bytes:
    """What PRIORITY carries: weight is 1 to 256."""
    return (exclusive << 31 | on).to_bytes(4, "big") + bytes((weight - 1,))


def priority(stream: int, on: int = 0, *, weight: int = 16, exclusive: bool = False) -> bytes:
    """PRIORITY."""
    return frame(Kind.PRIORITY, dependency(on, weight=weight, exclusive=exclusive), stream=stream)


def rst_stream(stream: int, code: int = 8) -> bytes:
    """RST_STREAM, with CANCEL if no other code is given."""
    return frame(Kind.RST_STREAM, code.to_bytes(4, "big"), stream=stream)


def settings(*pairs: tuple[int, int]) -> bytes:
    """SETTINGS of identifiers and values."""
    payload = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs)
    return frame(Kind.SETTINGS, payload)


SETTINGS_ACK = frame(Kind.SETTINGS, flags=ACK)


def ping(opaque: bytes = b"12345678", *, ack: bool = False) -> bytes:
    """PING."""
    return frame(Kind.PING, opaque, flags=ack * ACK)


def goaway(last: int = 0, code: int = 0, reason: bytes = b"") -> bytes:
    """GOAWAY."""
    return frame(Kind.GOAWAY, last.to_bytes(4, "big") + code.to_bytes(4, "big") + reason)


def window_update(stream: int, increment: int) -> bytes:
    """WINDOW_UPDATE; stream 0 is the connection."""
    return frame(Kind.WINDOW_UPDATE, increment.to_bytes(4, "big"), stream=stream)


def string(value: bytes) -> bytes:
    """A string literal without Huffman coding (RFC 7541, section 5.2)."""
    return bytes(encode_integer(len(value), 7)) + value


def literal(name: bytes, value: bytes, *, first: int = 0x00) -> bytes:
    """A literal field with a new name; `first` says which kind: 0x00 not indexed, 0x10 never, 0x40 indexed."""
    return bytes((first,)) + string(name) + string(value)


def block(fields: Iterable[Field]) -> bytes:
    """A header block of literals."""
    return b"".join(literal(name, value) for name, value in fields)


def call_fields(path: bytes, *more: Field) -> list[Field]:
    """The fields of a gRPC call."""
    start = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"localhost")]
    return [*start, (b"te", b"trailers"), (b"content-type", b"application/grpc"), *more]


def message(payload: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """A gRPC message with its prefix; `length` may lie."""
    return bytes((flag,)) + (len(payload) if length is None else length).to_bytes(4, "big") + payload


def unary(stream: int, path: bytes, payload: bytes, *more: Field) -> bytes:
    """A whole unary call as Envoy sends it: HEADERS, and one DATA that ends the stream."""
    return headers(stream, block(call_fields(path, *more))) + data(stream, message(payload), end=True)
