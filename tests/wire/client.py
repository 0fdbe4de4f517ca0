"""A raw HTTP/2 client for tests: it sends the bytes it is given, and keeps whatever comes back, in order.

    async with connected(port) as client:
        await client.open()                                  # preface, SETTINGS; waits for the server's
        stream = await client.call(PATH, b"message")         # HEADERS and DATA on the next stream
        reply = await client.answered(stream)                # reply.grpc_status, .messages, .reset ...
        await client.send(rst_stream(stream), b"any bytes")  # frames of frames.py, or any bytes
        await client.alive()                                 # PING and its acknowledgement
        assert await client.ending() == Ending(ErrorCodes.PROTOCOL_ERROR)

It has no states and no windows: those are the server's to keep. What the server sends is parsed by hyperframe and
hpack, which are strict, and a frame that they refuse fails whoever waits. Every wait ends after WAIT_S_MAX at the
latest, or when the connection does, and then says what had come.
"""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hpack import Decoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.wire import frames

WAIT_S_MAX = 30.0
# Of a connection in single bytes: what comes later is more of the same, and every place that matters has been cut.
SINGLE_BYTES_MAX = 1500
PIECE_BYTES = 1500


@dataclass(slots=True)
class Reply:
    """What came back on one stream. `blocks` holds the decoded header lists: headers, then trailers if there are."""

    blocks: list[list[frames.Field]] = field(default_factory=list)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    def value(self, name: bytes) -> bytes | None:
        """The value of a header or trailer; those that came later win."""
        found = [value for block in self.blocks for each, value in block if each == name]
        return found[-1] if found else None

    @property
    def status(self) -> int | None:
        """The HTTP status."""
        value = self.value(b":status")
        return None if value is None else int(value)

    @property
    def grpc_status(self) -> int | None:
        """The gRPC status, from the trailers or from Trailers-Only."""
        value = self.value(b"grpc-status")
        return None if value is None else int(value)

    @property
    def messages(self) -> list[bytes]:
        """The gRPC messages, without their prefixes."""
        found, at = [], 0
        while at < len(self.data):
            end = at + 5 + int.from_bytes(self.data[at + 1 : at + 5], "big")
            found.append(self.data[at + 5 : end])
            at = end
        return found


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended: the last GOAWAY's code, or None where the server only closed."""

    code: int | None


class WireClient(asyncio.Protocol):
    """One connection. `bytewise` sends each byte by itself; `polite` acknowledges SETTINGS and PING."""

    def __init__(self, *, bytewise: bool = False, polite: bool = True) -> None:
        self.frames: list[Frame] = []
        self.replies: dict[int, Reply] = {}
        self.gone = asyncio.Event()
        self.last_stream = -1
        self._bytewise = bytewise
        self._single_left = SINGLE_BYTES_MAX
        self._polite = polite
        self._rest = b""
        self._block = b""
        self._decoder = Decoder()
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._fault: Exception | None = None
        self._pings = 0
        self._sending = True  # nothing goes before the preface
        self._unsent = b""
        self._beside: socket.socket | None = None  # the same connection, once more

    def connection_made(self, transport: Any) -> None:
        self.transport: asyncio.Transport = transport
        if transport.get_extra_info("ssl_object") is None:
            self._beside = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
            self._beside.setblocking(False)
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone.set()
        self._read_what_is_left()
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        try:
            self._parse(self._rest + data)
        except Exception as error:  # noqa: BLE001 - whoever waits is to see it, whatever it is
            self._fault = error
            self.transport.abort()
        self._changed.set()

    async def send(self, *pieces: bytes) -> None:
        """Send bytes; a connection that the server has closed takes them and drops them."""
        sent = b"".join(pieces)
        self._sending = True
        for piece in self._pieces(sent):
            if self.closed:
                return
            self.transport.write(piece)
            await asyncio.sleep(0)
        self._sending = False
        self._acknowledge(b"")
        async with asyncio.timeout(WAIT_S_MAX):
            await self._writable.wait()

    async def open(self, *settings: tuple[int, int]) -> None:
        """Send the preface and SETTINGS, and wait for the server's."""
        await self.send(frames.PREFACE, frames.settings(*settings))
        await self.until(lambda: any(isinstance(each, SettingsFrame) for each in self.frames), "SETTINGS")

    async def call(self, path: bytes, payload: bytes = b"", *more: frames.Field, stream: int | None = None) -> int:
        """Send a whole unary call, on the next stream or this one; returns its stream."""
        number = self.next_stream() if stream is None else stream
        await self.send(frames.unary(number, path, payload, *more))
        return number

    def next_stream(self) -> int:
        """The number of the next stream."""
        self.last_stream += 2
        return self.last_stream

    def reply(self, stream: int) -> Reply:
        """What has come on a stream so far."""
        return self.replies.setdefault(stream, Reply())

    async def answered(self, stream: int) -> Reply:
        """Wait until the server has ended or reset a stream."""
        await self.until(lambda: self.reply(stream).ended, f"the end of stream {stream}")
        return self.reply(stream)

    async def reset(self, stream: int) -> int | None:
        """Wait until the server has reset a stream: the code."""
        await self.until(lambda: self.reply(stream).reset is not None, f"RST_STREAM of stream {stream}")
        return self.reply(stream).reset

    async def alive(self) -> None:
        """Send a PING and wait until it is acknowledged."""
        self._pings += 1
        opaque = b"ping" + self._pings.to_bytes(4, "big")
        await self.send(frames.ping(opaque))
        await self.until(lambda: opaque in self.acknowledged, "the acknowledgement of a PING")

    @property
    def acknowledged(self) -> list[bytes]:
        """What the acknowledged PINGs carried."""
        return [each.opaque_data for each in self.frames if isinstance(each, PingFrame) and "ACK" in each.flags]

    async def ending(self) -> Ending:
        """Wait until the connection is closed."""
        await self.until(lambda: self.closed, "the end of the connection")
        return Ending(self.goaway)

    @property
    def server_settings(self) -> dict[int, int]:
        """What the server's SETTINGS said; later ones win."""
        told: dict[int, int] = {}
        for each in self.frames:
            if isinstance(each, SettingsFrame):
                told |= each.settings
        return told

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.gone.is_set()

    @property
    def goaway(self) -> int | None:
        """The code of the last GOAWAY."""
        codes = [each.error_code for each in self.frames if isinstance(each, GoAwayFrame)]
        return codes[-1] if codes else None

    async def until(self, condition: Callable[[], bool], wanted: str) -> None:
        """Wait for a condition. AssertionError when the connection or the time is over before."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S_MAX):
                while not (condition() or self.closed or self._fault):
                    self._changed.clear()
                    await self._changed.wait()
        if self._fault:
            raise AssertionError(f"the server sent what cannot be read: {self._fault!r}") from self._fault
        if not condition():
            state = "the connection ended" if self.closed else f"{WAIT_S_MAX} s passed"
            raise AssertionError(f"{state} before {wanted}; until then came {self.frames[-20:]}")

    def _read_what_is_left(self) -> None:
        """A write that fails ends a transport, and what had come before is still unread if we were slow."""
        if self._beside is not None:
            with self._beside, contextlib.suppress(OSError):
                while data := self._beside.recv(2**16):
                    self.data_received(data)

    def _pieces(self, sent: bytes) -> Iterator[bytes]:
        if not self._bytewise:
            yield sent
            return
        single, rest = sent[: self._single_left], sent[self._single_left :]
        self._single_left -= len(single)
        yield from (single[at : at + 1] for at in range(len(single)))
        yield from (rest[at : at + PIECE_BYTES] for at in range(0, len(rest), PIECE_BYTES))

    def _parse(self, data: bytes) -> None:
        at = 0
        while len(data) - at >= 9:
            found, length = Frame.parse_frame_header(memoryview(data)[at : at + 9])
            end = at + 9 + length
            if end > len(data):
                break
            found.parse_body(memoryview(data)[at + 9 : end])
            self._note(found)
            at = end
        self._rest = data[at:]

    def _note(self, found: Frame) -> None:
        self.frames.append(found)
        if found.stream_id:
            self._note_on_stream(found, self.reply(found.stream_id))
        elif self._polite and isinstance(found, SettingsFrame) and "ACK" not in found.flags:
            self._acknowledge(frames.SETTINGS_ACK)
        elif self._polite and isinstance(found, PingFrame) and "ACK" not in found.flags:
            self._acknowledge(frames.ping(found.opaque_data, ack=True))

    def _acknowledge(self, frame: bytes) -> None:
        self._unsent += frame
        if self._unsent and not self._sending and not self.closed:  # else it would stand in the middle of another frame
            self.transport.write(self._unsent)
            self._unsent = b""

    def _note_on_stream(self, found: Frame, reply: Reply) -> None:
        if isinstance(found, HeadersFrame | ContinuationFrame):
            self._block += found.data
            if "END_HEADERS" in found.flags:
                reply.blocks.append([(bytes(name), bytes(value)) for name, value in self._decoded()])
        elif isinstance(found, DataFrame):
            reply.data += found.data
        elif isinstance(found, RstStreamFrame):
            reply.reset, reply.ended = found.error_code, True
        reply.ended |= "END_STREAM" in found.flags

    def _decoded(self) -> list[tuple[bytes, bytes]]:
        block, self._block = self._block, b""
        return [(name, value) for name, value in self._decoder.decode(block, raw=True)]


def trusting() -> ssl.SSLContext:
    """A client's context that takes any certificate, and offers HTTP/2."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


@contextlib.asynccontextmanager
async def connected(
    port: int, *, tls: bool = False, bytewise: bool = False, polite: bool = True
) -> AsyncIterator[WireClient]:
    """A connection to a loopback port, closed at the end."""
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(
        lambda: WireClient(bytewise=bytewise, polite=polite),
        "127.0.0.1",
        port,
        ssl=trusting() if tls else None,
    )
    try:
        yield client
    finally:
        client.transport.abort()
        await client.gone.wait()
