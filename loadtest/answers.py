"""The answers of a server, counted by the heads of their frames.

Every frame is looked at, and no more of it than tells whether the call went well: the response's head says 200, the
message says the code that is wanted, the trailers say grpc-status 0. Header blocks are decoded once and known again,
which is right because we announce SETTINGS_HEADER_TABLE_SIZE 0: no block depends on another.
"""

import struct
from collections.abc import Iterable

from hpack import Decoder
from hpack.exceptions import HPACKError

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
MAX_CONCURRENT_STREAMS = 3
END_STREAM, ACK, END_HEADERS = 1, 1, 4
WINDOW = 2**30
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = struct.Struct(">HBBBI")


class LoadFailedError(ValueError):
    """A server did not answer as it must; what it did instead."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame on the wire."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def opening() -> bytes:
    """What a client sends first: no table, no push, windows that 2 GiB of answers fit into."""
    settings = ((1, 0), (2, 0), (4, 2**31 - 1))
    payload = b"".join(identifier.to_bytes(2, "big") + value.to_bytes(4, "big") for identifier, value in settings)
    return PREFACE + frame(SETTINGS, 0, 0, payload) + frame(WINDOW_UPDATE, 0, 0, WINDOW.to_bytes(4, "big"))


class Answers:
    """What one connection received. `code`: the overall code that each answer must have; None takes any."""

    def __init__(self, code: int | None) -> None:
        self._message_start = b"" if code is None else bytes((8, code))
        self._rest = b""
        self._good: dict[bytes, bool] = {}
        self._decoder = Decoder()
        self._messages: set[int] = set()
        self._received = 0
        self.window = 65535
        # Nothing may be sent before these are told.
        self.ready = False
        self.streams_max = 2**31 - 1
        # Control frames to send.
        self.output = b""

    def feed(self, data: bytes) -> list[int]:  # noqa: C901, PLR0912 - a call per frame would double the cost
        """The streams that these bytes completed. Raises LoadFailedError."""
        if self._rest:
            data = self._rest + data
        at, size, done = 0, len(data), []
        good, messages, unpack = self._good, self._messages, HEAD.unpack_from
        while size - at >= 9:
            high, low, kind, flags, stream = unpack(data, at)
            length = high << 8 | low
            end = at + 9 + length
            if end > size:
                break
            if kind == HEADERS:
                block = data[at + 9 : end]
                if flags & END_STREAM:
                    if flags != 5 or (block not in good and not self._is_good(block, b"grpc-status", b"0")):
                        raise self._failed(block, flags)
                    if stream not in messages:
                        raise LoadFailedError("an answer without a message")
                    messages.remove(stream)
                    done.append(stream)
                elif flags != END_HEADERS or (block not in good and not self._is_good(block, b":status", b"200")):
                    raise self._failed(block, flags)
            elif kind == DATA:
                self._received += length
                if length > 5:
                    if not data.startswith(self._message_start, at + 14):
                        raise LoadFailedError(f"an answer with another code: {data[at + 9 : end].hex()}")
                    messages.add(stream)
            else:
                self._control(kind, flags, stream, data[at + 9 : end])
            at = end
        self._rest = data[at:]
        if self._received > WINDOW // 2:
            self.output += frame(WINDOW_UPDATE, 0, 0, self._received.to_bytes(4, "big"))
            self._received = 0
        return done

    def _is_good(self, block: bytes, name: bytes, value: bytes) -> bool:
        if (name, value) not in self._fields(block):
            return False
        self._good[block] = True
        return True

    def _fields(self, block: bytes) -> Iterable[tuple[bytes, bytes]]:
        try:
            fields = self._decoder.decode(block, raw=True)
        except HPACKError as error:
            raise LoadFailedError(f"a header block that cannot be read: {error}") from None
        if len(self._decoder.header_table.dynamic_entries):
            raise LoadFailedError("a header block with a dynamic table, which we do not allow")
        return fields

    def _failed(self, block: bytes, flags: int) -> LoadFailedError:
        if flags & ~END_STREAM != END_HEADERS:
            return LoadFailedError(f"a header block that is padded or in pieces (flags {flags})")
        fields = b", ".join(b": ".join(pair) for pair in self._fields(block))
        return LoadFailedError(f"an answer that failed: {fields.decode(errors='replace')}")

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                if int.from_bytes(payload[at : at + 2], "big") == MAX_CONCURRENT_STREAMS:
                    self.streams_max = int.from_bytes(payload[at + 2 : at + 6], "big")
            self.output += frame(SETTINGS, ACK, 0)
        elif kind == SETTINGS:
            self.ready = True
        elif kind == PING and not flags & ACK:
            self.output += frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE and not stream:
            self.window += int.from_bytes(payload, "big")
        elif kind in {RST_STREAM, GOAWAY}:
            what = "RST_STREAM" if kind == RST_STREAM else "GOAWAY"
            raise LoadFailedError(
                f"{what} with code {int.from_bytes(payload[-4:] if kind == 3 else payload[4:8], 'big')}"
            )
