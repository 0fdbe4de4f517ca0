"""A bare server: what a rate limit service in Python costs with nothing around it. The floor that ours is measured by.

    python -m loadtest.bare_server PORT REDIS_PORT

It reads gRPC over HTTP/2 from well-behaved clients, counts fixed windows of an hour with one script call per tick
of the event loop, and answers right. It has none of what makes a service: no configuration (a limit is large, or 1 where the
descriptor's key is `over`), no check of what a client does wrong, no deadlines, no metrics, no faults of the store. It
shares no code with the service, so that a mistake in one is not in the other.

What makes it quick: header blocks and messages are known by their bytes; blocks that differ only in `x-request-id` and
`traceparent` are known by what stands around those; equal keys of a tick are one key for the store; keys over their
limit need no store; a connection is written to once per tick.
"""

import asyncio
import gc
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
import uvloop
from hpack import Decoder

from loadtest.header_blocks import PATH, huffman

# So many header blocks and messages are known at most.
KNOWN_MAX = 10_000
LIMIT, UNIT_S = 1_000_000_000, 3600
HTTP2_PREFACE_BYTES = 24
CHANGING = (b"x-request-id", b"traceparent")
# `:status 200`, `content-type: application/grpc`; `grpc-status: 0`: literals that need no table.
HEAD_BLOCK = b"\x88\x0f\x10\x10application/grpc"
TRAILER_BLOCK = b"\x00\x0bgrpc-status\x010"
HEAD = len(HEAD_BLOCK).to_bytes(3, "big") + b"\x01\x04"
TRAILERS = len(TRAILER_BLOCK).to_bytes(3, "big") + b"\x01\x05"
# No dynamic table; a connection's window of 1 GiB more, renewed long before it is used up.
OPENING = b"\0\0\x06\4\0\0\0\0\0\0\1\0\0\0\0" + b"\0\0\4\x08\0\0\0\0\0" + (2**30).to_bytes(4, "big")
SCRIPT = b"""
local counts = {}
for i, key in ipairs(KEYS) do
  counts[i] = redis.call('INCRBY', key, ARGV[i])
  if counts[i] == tonumber(ARGV[i]) then redis.call('EXPIRE', key, 3600) end
end
return counts
"""


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def fields(message: bytes) -> list[tuple[int, bytes]]:
    """(number, content) of each field, all of them with a length below 128."""
    found, at = [], 0
    while at < len(message):
        end = at + 2 + message[at + 1]
        found.append((message[at] >> 3, message[at + 2 : end]))
        at = end
    return found


class Charge:
    """One descriptor: its key in the store, and what its status begins with."""

    __slots__ = ("key", "limit", "ok", "over")

    def __init__(self, domain: bytes, entry: bytes) -> None:
        name, value = (content for _, content in fields(entry))
        self.limit = 1 if name == b"over" else LIMIT
        self.key = b"_".join((domain, name, value, b"%d" % (time.time() // UNIT_S * UNIT_S)))
        current = b"\x08%b\x10\x03" % varint(self.limit)
        current = b"\x12%b%b" % (varint(len(current)), current)
        self.ok, self.over = b"\x08\x01%b\x18" % current, b"\x08\x02" + current


def charges_of(message: bytes) -> tuple[Charge, ...]:
    """What a request charges. Its window is that of the moment: nobody runs this for an hour."""
    domain, *descriptors = (content for _, content in fields(message))
    return tuple(Charge(domain, fields(descriptor)[0][1]) for descriptor in descriptors)


class Store(asyncio.Protocol):
    """The connection to Redis; replies come in the order of the commands."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.reader, self.waiting = transport, hiredis.Reader(), deque[Callable[[Any], None]]()

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not False:
            self.waiting.popleft()(reply)

    def call(self, command: tuple[Any, ...], done: Callable[[Any], None]) -> None:
        """Send a command; `done` gets its reply."""
        self.waiting.append(done)
        self.transport.write(hiredis.pack_command(command))


Calls = list[tuple["Connection", bytes, tuple[Charge, ...]]]


class Counting:
    """Counts the calls of one tick together."""

    def __init__(self, store: Store, digest: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self._store, self._digest, self._loop = store, digest, loop
        self._calls: Calls = []
        self._over: set[bytes] = set()

    def add(self, calls: Calls) -> None:
        """Take the calls of one read."""
        if not self._calls:
            self._loop.call_soon(self._flush)
        self._calls += calls

    def _flush(self) -> None:
        calls, self._calls = self._calls, []
        over, totals = self._over, dict[bytes, int]()
        for _, _, charges in calls:
            for charge in charges:
                key = charge.key
                if key not in over:
                    totals[key] = totals.get(key, 0) + 1
        if not totals:
            self._answer(calls, {})
            return
        hits = [b"%d" % total for total in totals.values()]

        def counted(counts: list[int]) -> None:
            self._answer(calls, {k: n - total for (k, total), n in zip(totals.items(), counts, strict=True)})

        self._store.call((b"EVALSHA", self._digest, b"%d" % len(totals), *totals, *hits), counted)

    def _answer(self, calls: Calls, before: dict[bytes, int]) -> None:
        reset = b"\x08" + varint(UNIT_S - int(time.time()) % UNIT_S)
        tail = b'"%c%b' % (len(reset), reset)
        outputs: dict[Connection, list[bytes]] = {}
        for connection, stream, charges in calls:
            code, statuses = b"\x08\x01", b""
            for charge in charges:
                key = charge.key
                count = before[key] = before.get(key, charge.limit) + 1
                if count <= charge.limit:
                    status = charge.ok + varint(charge.limit - count) + tail
                else:
                    code, status = b"\x08\x02", charge.over + tail
                    self._over.add(key)
                statuses += b"\x12%c%b" % (len(status), status)
            size = len(statuses) + 2
            out = outputs.get(connection)
            if out is None:
                out = outputs[connection] = []
            out.append(
                b"%b%b%b%b\0\0%b\0%b%b%b%b%b%b"
                % (HEAD, stream, HEAD_BLOCK, (size + 5).to_bytes(3, "big"), stream, size.to_bytes(4, "big"), code,
                   statuses, TRAILERS, stream, TRAILER_BLOCK)
            )  # fmt: skip
        for connection, output in outputs.items():
            connection.transport.write(b"".join(output))


class HeaderBlocks:
    """Which header blocks are those of ShouldRateLimit: known by their bytes, or by the pieces that do not change."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()
        self._pieces: tuple[bytes, ...] = ()
        self._decoder = Decoder()

    def ours(self, block: bytes) -> bool:
        """Whether the block is one."""
        if block in self._known or self._fits(block):
            return True
        if (b":path", PATH.encode()) not in list[Any](self._decoder.decode(block, raw=True)):
            return False
        self._learn(block)
        return True

    def _fits(self, block: bytes) -> bool:
        if not self._pieces:
            return False
        at = 0
        for piece in self._pieces[:-1]:
            if not block.startswith(piece, at):
                return False
            at += len(piece)
            at += 1 + (block[at] & 127)
        return block[at:] == self._pieces[-1]

    def _learn(self, block: bytes) -> None:
        if self._decoder.header_table.dynamic_entries:
            self._known.clear()  # what a block means may depend on those before it
            return
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known.add(block)
        pieces, at = [], 0
        for name in CHANGING:
            found = block.find(b"\0" + huffman(name), at)
            if found < 0:
                return
            value = found + 1 + len(huffman(name))
            pieces.append(block[at:value])
            at = value + 1 + (block[value] & 127)
        self._pieces = (*pieces, block[at:])


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, counting: Counting, known: dict[bytes, tuple[Charge, ...]]) -> None:
        self._counting, self._known = counting, known
        self._blocks = HeaderBlocks()
        self._rest, self._skip, self._received = b"", HTTP2_PREFACE_BYTES, 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(OPENING)

    def data_received(self, data: bytes) -> None:  # noqa: C901 - one loop, as quick as can be
        if self._rest:
            data = self._rest + data
        at, size, calls, known, ours = self._skip, len(data), Calls(), self._known, self._blocks.ours
        while size - at >= 9:
            end = at + 9 + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
            if end > size:
                break
            kind = data[at + 3]
            if kind == 1:
                if not ours(data[at + 9 : end]):
                    self.transport.abort()
                    return
            elif kind == 0:
                self._received += end - at - 9
                message = data[at + 14 : end]
                charges = known.get(message)
                if charges is None:
                    if len(known) >= KNOWN_MAX:
                        known.clear()
                    charges = known[message] = charges_of(message)
                calls.append((self, data[at + 5 : at + 9], charges))
            elif kind in {4, 6} and not data[at + 4] & 1:
                acknowledged = data[at + 9 : end] if kind == 6 else b""
                self.transport.write(b"\0\0%c%c\1\0\0\0\0%b" % (len(acknowledged), kind, acknowledged))
            at = end
        self._skip = 0 if size >= HTTP2_PREFACE_BYTES or not self._skip else self._skip
        self._rest = data[at:] if at < size else b""
        if self._received > 2**20:
            self.transport.write(b"\0\0\4\x08\0\0\0\0\0" + self._received.to_bytes(4, "big"))
            self._received = 0
        if calls:
            self._counting.add(calls)


async def serve(port: int, redis_port: int) -> None:
    """Serve until a signal."""
    loop = asyncio.get_running_loop()
    _, store = await loop.create_connection(Store, "127.0.0.1", redis_port)
    digest: asyncio.Future[bytes] = loop.create_future()
    store.call((b"SCRIPT", b"LOAD", SCRIPT), digest.set_result)
    counting, known = Counting(store, await digest, loop), dict[bytes, tuple[Charge, ...]]()
    server = await loop.create_server(lambda: Connection(counting, known), "127.0.0.1", port)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
