"""gRPC over HTTP/2 without I/O: heads, length-prefixed messages, status and metadata (PROTOCOL-HTTP2 of grpc/grpc)."""

import base64
import binascii
import math
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes

from ratelimit.errors import GrpcStatus, RpcError

Metadata = Iterable[tuple[str, str | bytes]]
PREFIX_BYTES = 5
_TIMEOUT = re.compile(rb"(\d{1,8})([HMSmun])")
_UNIT_S = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_CONTENT_TYPE = re.compile(rb"application/grpc(?:\+[^;]*)?(?:;.*)?", re.IGNORECASE)
_DETAILS_BYTES_MAX = 4096
_WINDOW_BITS = {b"gzip": 31, b"deflate": 15}


def field(name: bytes, value: bytes) -> bytes:
    """A literal header field without indexing (RFC 7541 §6.2.2): it needs no state."""
    return b"\0" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    size = len(text)
    if size < 0x7F:
        return bytes((size,)) + text
    size -= 0x7F
    prefix = bytearray((0x7F,))
    while size > 0x7F:
        prefix.append(size & 0x7F | 0x80)
        size >>= 7
    prefix.append(size)
    return bytes(prefix) + text


STATUS_200 = b"\x88"  # :status 200 of the static table
RESPONSE_HEADERS = STATUS_200 + field(b"content-type", b"application/grpc")
OK_TRAILERS = field(b"grpc-status", b"0")
_ACCEPTED = field(b"grpc-accept-encoding", b"identity,deflate,gzip")


class Refusal:
    """Why a request is answered before any method sees it: as plain HTTP, or with a gRPC status.

    `block` is the header block of the answer and `body` what follows it where it `has_body`: plain HTTP has, but for
    HEAD. Made once for all requests of a connection with the same head.
    """

    __slots__ = ("block", "body", "has_body", "plain")

    def __init__(self, http_status: int, status: GrpcStatus | None, details: str, *, to_head: bool = False) -> None:
        self.plain = status is None
        self.body = f"{details}\n".encode()
        self.has_body = self.plain and not to_head
        block = b"\x08\x03%d" % http_status if http_status != 200 else STATUS_200
        if status is None:
            size = b"%d" % len(self.body)
            self.block = block + field(b"content-type", b"text/plain") + field(b"content-length", size)
        else:
            extra = _ACCEPTED if status is GrpcStatus.UNIMPLEMENTED else b""
            self.block = block + field(b"content-type", b"application/grpc") + extra + trailers(status, details)


@dataclass(slots=True)
class CallHead:
    """What a request's head means for gRPC.

    `timeout_s` is infinity without one. `method` is who serves the call, for the server to fill in; where that is a
    direct method, `direct` is the same.
    """

    path: str
    timeout_s: float = math.inf
    encoding: bytes = b"identity"
    refusal: Refusal | None = None
    method: Any = None
    direct: Any = None


def read_head(fields: Mapping[bytes, bytes]) -> CallHead:
    """Judge the meaningful fields of a request's head."""
    head = CallHead(fields[b":path"].decode("utf-8", "replace"))
    head.encoding = fields.get(b"grpc-encoding", b"identity")
    timeout = fields.get(b"grpc-timeout")
    if fields[b":method"] != b"POST":
        to_head = fields[b":method"] == b"HEAD"
        head.refusal = Refusal(405, None, "gRPC calls are POST requests", to_head=to_head)
    elif not _CONTENT_TYPE.fullmatch(fields.get(b"content-type", b"")):
        head.refusal = Refusal(415, None, "the content-type of gRPC is application/grpc")
    elif head.encoding not in _WINDOW_BITS and head.encoding != b"identity":
        reason = f"grpc-encoding {_shown(head.encoding)} is not supported"
        head.refusal = Refusal(200, GrpcStatus.UNIMPLEMENTED, reason)
    elif timeout is not None:
        found = _TIMEOUT.fullmatch(timeout)
        if found:
            head.timeout_s = int(found[1]) * _UNIT_S[found[2]]
        else:
            head.refusal = Refusal(400, GrpcStatus.INTERNAL, f"malformed grpc-timeout: {_shown(timeout)}")
    return head


def _shown(text: bytes) -> str:
    return repr(text[:64].decode("utf-8", "replace"))


def trailers(status: int, details: str = "", metadata: Metadata = ()) -> bytes:
    """The block of the trailers. `details` is cut where a frame could not hold it."""
    block = field(b"grpc-status", b"%d" % status)
    if details:
        block += field(b"grpc-message", _percent_encoded(details.encode("utf-8", "replace")[:_DETAILS_BYTES_MAX]))
    return block + b"".join(_metadatum(key, value) for key, value in metadata)


_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def _percent_encoded(text: bytes) -> bytes:
    """As gRPC has it; blanks at the ends too, where no field of HTTP/2 may have any (RFC 9113 §8.2.1)."""
    inner = text.strip(b" ")
    start = text.find(inner)
    after = len(text) - start - len(inner)
    return b"%20" * start + quote_from_bytes(inner, safe=_PLAIN).encode() + b"%20" * after


def _metadatum(key: str, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    if key.endswith("-bin"):
        raw = base64.b64encode(raw).rstrip(b"=")
    return field(key.lower().encode(), raw)


def response_headers(metadata: Metadata) -> bytes:
    """The block of the response headers with initial metadata."""
    return RESPONSE_HEADERS + b"".join(_metadatum(key, value) for key, value in metadata)


def metadata_of(fields: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str | bytes], ...]:
    """A request's ordinary fields as grpcio gives metadata. Raises RpcError for a binary value that is no base64."""
    return tuple((name.decode(), _value(name, value)) for name, value in fields)


def _value(name: bytes, value: bytes) -> str | bytes:
    if not name.endswith(b"-bin"):
        return value.decode("latin-1")
    try:
        return b"".join(base64.b64decode(part + b"=" * (-len(part) % 4), validate=True) for part in value.split(b","))
    except binascii.Error:
        raise RpcError(GrpcStatus.INTERNAL, f"the value of {name.decode()} is no base64") from None


def frame_message(message: bytes) -> bytes:
    """A message with its prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class MessageReader:
    """Cuts a body into messages, and inflates them. `bytes_max` bounds each, before and after inflating.

    `inflated` counts the bytes that inflating made, of messages that were too large too. `room` is how many more it may
    make for now.
    """

    def __init__(self, encoding: bytes, bytes_max: int) -> None:
        self._encoding = encoding
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self.room = bytes_max
        self.inflated = 0

    @property
    def buffered(self) -> int:
        """The bytes of a message that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete now. Raises RpcError."""
        buffer, messages = self._buffer, []
        buffer += data
        while len(buffer) >= PREFIX_BYTES:
            size = int.from_bytes(buffer[1:PREFIX_BYTES], "big")
            if buffer[0] > 1:
                raise RpcError(GrpcStatus.INTERNAL, f"the compressed flag of a message is {buffer[0]}")
            if buffer[0] and self._encoding == b"identity":
                raise RpcError(GrpcStatus.INTERNAL, "a compressed message without grpc-encoding")
            if size > self._bytes_max:
                raise _too_large(f"{size} bytes", self._bytes_max)
            if len(buffer) < PREFIX_BYTES + size:
                break
            message = bytes(buffer[PREFIX_BYTES : PREFIX_BYTES + size])
            messages.append(self._inflate(message) if buffer[0] else message)
            del buffer[: PREFIX_BYTES + size]
        return messages

    def finish(self) -> None:
        """The body is over. Raises RpcError where a message is not."""
        if self._buffer:
            raise RpcError(GrpcStatus.INTERNAL, "the body ends within a message")

    def _inflate(self, message: bytes) -> bytes:
        inflater = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        try:
            inflated = inflater.decompress(message, self.room + 1)
        except zlib.error:
            raise RpcError(GrpcStatus.INTERNAL, f"a message is not {self._encoding.decode()}") from None
        self.inflated += len(inflated)
        if len(inflated) > self.room:
            raise _too_large("more when inflated, or messages that come together", self._bytes_max)
        self.room -= len(inflated)
        if not inflater.eof or inflater.unused_data:
            raise RpcError(GrpcStatus.INTERNAL, f"a message is not whole {self._encoding.decode()}")
        return inflated


def _too_large(size: str, most: int) -> RpcError:
    return RpcError(GrpcStatus.RESOURCE_EXHAUSTED, f"a message of {size}, at most {most} are allowed")
