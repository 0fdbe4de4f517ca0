"""One stream of the rate limit quota service on a connection of its own, as bytes in and bytes out.

A client with no library between: reports of a thousand buckets, and responses that come fifty times a second on each of
a hundred streams, must not take more of a core than the server that is measured.
"""

from collections.abc import Iterator

from loadtest.answers import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    WINDOW_UPDATE,
    LoadFailedError,
    frame,
)
from loadtest.answers import opening as connection_opening
from loadtest.header_blocks import TABLE_SIZE_0, huffman, literal
from loadtest.request_frames import framed
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2

PATH = "/envoy.service.rate_limit_quota.v3.RateLimitQuotaService/StreamRateLimitQuotas"
INITIAL_WINDOW_SIZE = 4
FRAME_BYTES_MAX = 16384
STREAM = 1
_BLOCK = b"".join(
    (
        TABLE_SIZE_0,
        b"\x83",
        b"\x04" + huffman(PATH.encode()),
        b"\x01" + huffman(b"ratelimit"),
        b"\x86",
        literal(b"te", b"trailers"),
        b"\x0f\x10" + huffman(b"application/grpc"),
    )
)


class QuotaConnection:
    """Bytes to send are in `output`; whoever sends them empties it."""

    def __init__(self) -> None:
        self.output = connection_opening() + frame(HEADERS, END_HEADERS, STREAM, _BLOCK)
        self._rest = b""
        self._body = bytearray()
        self._received = 0
        self._waiting = bytearray()
        # What may be sent: of the connection, and of the stream, whose window settings may change.
        self._window = self._stream_window = self._initial_window = 65535

    def send(self, message: bytes) -> None:
        """Send a message as far as the windows allow, and the rest when they do."""
        self._waiting += framed(message)
        self._send_waiting()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that these bytes completed. Raises LoadFailedError where the stream or connection ends."""
        data = self._rest + data
        at, size = 0, len(data)
        while size - at >= HEAD.size:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + HEAD.size + (high << 8 | low)
            if end > size:
                break
            payload = data[at + HEAD.size : end]
            if kind == DATA:
                self._body += payload
                self._received += len(payload)
            else:
                self._control(kind, flags, stream, payload)
            at = end
        self._rest = data[at:]
        if self._received > WINDOW // 2:
            update = self._received.to_bytes(4, "big")
            self.output += frame(WINDOW_UPDATE, 0, 0, update) + frame(WINDOW_UPDATE, 0, STREAM, update)
            self._received = 0
        return self._messages()

    def _messages(self) -> Iterator[bytes]:
        body = self._body
        while len(body) >= 5:
            end = 5 + int.from_bytes(body[1:5], "big")
            if len(body) < end:
                return
            message = bytes(body[5:end])
            del body[:end]
            yield message

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == PING and not flags & ACK:
            self.output += frame(PING, ACK, 0, payload)
        elif kind == SETTINGS and not flags & ACK:
            self._set(payload)
        elif kind == WINDOW_UPDATE:
            if stream:
                self._stream_window += int.from_bytes(payload, "big")
            else:
                self._window += int.from_bytes(payload, "big")
            self._send_waiting()
        elif kind in {RST_STREAM, GOAWAY} or (kind == HEADERS and flags & END_STREAM):
            raise LoadFailedError(f"the server ended the stream: frame {kind}, {payload[:100].hex()}")

    def _set(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            if int.from_bytes(payload[at : at + 2], "big") == INITIAL_WINDOW_SIZE:
                size = int.from_bytes(payload[at + 2 : at + 6], "big")
                self._stream_window += size - self._initial_window
                self._initial_window = size
        self.output += frame(SETTINGS, ACK, 0)
        self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting:
            size = min(len(self._waiting), FRAME_BYTES_MAX, self._window, self._stream_window)
            if size <= 0:
                return
            self.output += frame(DATA, 0, STREAM, bytes(self._waiting[:size]))
            del self._waiting[:size]
            self._window -= size
            self._stream_window -= size


def actions(message: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The serialised bucket id and the rest of each action of a RateLimitQuotaResponse, as ours writes them.

    Only what is not known yet is worth being read by protobuf. Raises LoadFailedError for what is written otherwise.
    """
    at, size = 0, len(message)
    while at < size:
        length, begin = _length(message, at)
        end = begin + length
        id_length, id_begin = _length(message, begin)
        id_end = id_begin + id_length
        yield message[id_begin:id_end], message[id_end:end]
        at = end


def rate_of(told: bytes) -> float:
    """How many requests a second the rest of an action lets pass; infinite for ALLOW_ALL, and once abandoned."""
    action = rlqs_pb2.RateLimitQuotaResponse.BucketAction.FromString(told)
    strategy = action.quota_assignment_action.rate_limit_strategy
    if strategy.HasField("token_bucket"):
        bucket = strategy.token_bucket
        return bucket.tokens_per_fill.value / bucket.fill_interval.seconds
    return 0.0 if strategy.blanket_rule == strategy.DENY_ALL else float("inf")


def _length(message: bytes, at: int) -> tuple[int, int]:
    """The length of a field 1 at `at`, and where it begins."""
    if message[at] != 0x0A:
        raise LoadFailedError(f"not a response of buckets: field {message[at] >> 3} at {at}")
    length, shift = 0, 0
    while True:
        at += 1
        length |= (message[at] & 127) << shift
        if message[at] < 128:
            return length, at + 1
        shift += 7
