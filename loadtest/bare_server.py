"""A bare server: what a rate limit service in Python costs with nothing around it. The floor that ours is measured by.

    python -m loadtest.bare_server PORT REDIS_PORT

It reads gRPC over HTTP/2 from well-behaved clients, counts fixed windows of an hour with one script call per tick of
the event loop, and answers right. On it is what no service can leave out: stream ids that only grow, resets, deadlines
of calls (who does not wait any more is not counted) and of the store, tallies of each limit, a histogram. It has no
configuration (a limit is large, or 1 where the descriptor's key is `over`), no defence against a client that does
wrong, no other methods, no TLS, no drain. It shares no code with the service, so a mistake in one is not in the other.

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
STORE_DEADLINE_S = 2.0
TIMEOUT_UNITS_S = {b"H": 3600, b"M": 60, b"S": 1, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
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
    """One descriptor: its key in the store, what its status begins with, and what was counted."""

    __slots__ = ("key", "limit", "near", "near_hits", "ok", "over", "over_hits", "within_hits")

    def __init__(self, domain: bytes, entry: bytes) -> None:
        name, value = (content for _, content in fields(entry))
        self.limit = 1 if name == b"over" else LIMIT
        self.near = int(self.limit * 0.8)
        self.within_hits = self.near_hits = self.over_hits = 0
        self.key = b"_".join((domain, name, value, b"%d" % (time.time() // UNIT_S * UNIT_S)))
        current = b"\x08%b\x10\x03" % varint(self.limit)
        current = b"\x12%b%b" % (varint(len(current)), current)
        self.ok, self.over = b"\x08\x01%b\x18" % current, b"\x08\x02" + current


def charges_of(message: bytes) -> tuple[Charge, ...]:
    """What a request charges. Its window is that of the moment: nobody runs this for an hour."""
    domain, *descriptors = (content for _, content in fields(message))
    return tuple(Charge(domain, fields(descriptor)[0][1]) for descriptor in descriptors)


class Stream:
    """One call in flight; `wire` is its number as it stands in frames."""

    __slots__ = ("alive", "charges", "connection", "deadline", "number", "wire")

    def __init__(self, connection: "Connection", number: int, wire: bytes, deadline: float) -> None:
        self.connection, self.number, self.wire, self.deadline = connection, number, wire, deadline
        self.alive, self.charges = True, tuple[Charge, ...]()


class Command:
    """A command to Redis; `done` gets its reply, or None at its deadline."""

    __slots__ = ("deadline", "done", "open")

    def __init__(self, done: Callable[[Any], None], deadline: float) -> None:
        self.done, self.deadline, self.open = done, deadline, True

    def end(self, reply: Any) -> None:
        """Tell the reply, once."""
        if self.open:
            self.open = False
            self.done(reply)


class Store(asyncio.Protocol):
    """The connection to Redis; replies come in the order of the commands, and one timer looks after all deadlines."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.reader, self.waiting = transport, hiredis.Reader(), deque[Command]()
        self.loop, self.watched = asyncio.get_running_loop(), False

    def data_received(self, data: bytes) -> None:
        self.reader.feed(data)
        while (reply := self.reader.gets()) is not False:
            self.waiting.popleft().end(reply)

    def call(self, words: tuple[Any, ...], done: Callable[[Any], None]) -> None:
        """Send a command."""
        self.waiting.append(Command(done, self.loop.time() + STORE_DEADLINE_S))
        if not self.watched:
            self._watch()
        self.transport.write(hiredis.pack_command(words))

    def _watch(self) -> None:
        now = self.loop.time()
        for command in self.waiting:
            if command.deadline > now:
                break
            command.end(None)
        self.watched = bool(self.waiting)
        if self.watched:
            self.loop.call_later(STORE_DEADLINE_S, self._watch)


class Counting:
    """Counts the calls of one tick together."""

    def __init__(self, store: Store, digest: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self._store, self._digest, self._loop = store, digest, loop
        self._calls: list[Stream] = []
        self._over: set[bytes] = set()
        self._histogram = [0] * 16

    def add(self, calls: list[Stream]) -> None:
        """Take the calls of one read."""
        if not self._calls:
            self._loop.call_soon(self._flush)
        self._calls += calls

    def _flush(self) -> None:
        came, self._calls, now = self._calls, [], self._loop.time()
        calls: list[Stream] = []
        over, totals = self._over, dict[bytes, int]()
        for stream in came:
            if not stream.alive or stream.deadline < now:
                continue
            calls.append(stream)
            for charge in stream.charges:
                key = charge.key
                if key not in over:
                    totals[key] = totals.get(key, 0) + 1
        if not totals:
            self._answer(calls, {})
            return
        hits = [b"%d" % total for total in totals.values()]

        def counted(counts: list[int] | None) -> None:
            if counts is None:
                return  # its callers do not wait so long
            self._answer(calls, {k: n - total for (k, total), n in zip(totals.items(), counts, strict=True)})
            self._histogram[min(15, int((self._loop.time() - now) * 1000))] += len(calls)

        self._store.call((b"EVALSHA", self._digest, b"%d" % len(totals), *totals, *hits), counted)

    def _answer(self, calls: list[Stream], before: dict[bytes, int]) -> None:
        reset = b"\x08" + varint(UNIT_S - int(time.time()) % UNIT_S)
        tail = b'"%c%b' % (len(reset), reset)
        outputs: dict[Connection, list[bytes]] = {}
        tallies: dict[Charge, int] = {}
        for stream in calls:
            if not stream.alive:
                continue
            code, statuses = b"\x08\x01", b""
            for charge in stream.charges:
                key = charge.key
                count = before[key] = before.get(key, charge.limit) + 1
                if count <= charge.limit:
                    tallies[charge] = tallies.get(charge, 0) + 1
                    charge.near_hits += count > charge.near
                    status = charge.ok + varint(charge.limit - count) + tail
                else:
                    code, status = b"\x08\x02", charge.over + tail
                    charge.over_hits += 1
                    self._over.add(key)
                statuses += b"\x12%c%b" % (len(status), status)
            size, wire, connection = len(statuses) + 2, stream.wire, stream.connection
            del connection.streams[stream.number]
            out = outputs.get(connection)
            if out is None:
                out = outputs[connection] = []
            out.append(
                b"%b%b%b%b\0\0%b\0%b%b%b%b%b%b"
                % (HEAD, wire, HEAD_BLOCK, (size + 5).to_bytes(3, "big"), wire, size.to_bytes(4, "big"), code,
                   statuses, TRAILERS, wire, TRAILER_BLOCK)
            )  # fmt: skip
        for charge, hits in tallies.items():
            charge.within_hits += hits
        for connection, output in outputs.items():
            connection.transport.write(b"".join(output))


class HeaderBlocks:
    """What header blocks say: known by their bytes, or by the pieces around what changes with each call."""

    def __init__(self) -> None:
        self._known: dict[bytes, float] = {}
        self._pieces: tuple[bytes, ...] = ()
        self._timeout_s = 0.0
        self._decoder = Decoder()

    def timeout_s(self, block: bytes) -> float:
        """The timeout of a call of ShouldRateLimit. Raises ValueError for any other."""
        found = self._known.get(block)
        if found is not None:
            return found
        return self._timeout_s if self._pieces and self._fits(block) else self._read(block)

    def _fits(self, block: bytes) -> bool:
        at = 0
        for piece in self._pieces[:-1]:
            if not block.startswith(piece, at):
                return False
            at += len(piece)
            at += 1 + (block[at] & 127)
        return block[at:] == self._pieces[-1]

    def _read(self, block: bytes) -> float:
        listed = dict[Any, Any](self._decoder.decode(block, raw=True))
        if listed.get(b":path") != PATH.encode():
            raise ValueError("only ShouldRateLimit is here")
        timeout = listed.get(b"grpc-timeout", b"1H")
        timeout_s = int(timeout[:-1]) * TIMEOUT_UNITS_S[timeout[-1:]]
        if self._decoder.header_table.dynamic_entries or len(self._known) >= KNOWN_MAX:
            self._known.clear()  # with a table, what a block means may depend on those before it
        else:
            self._known[block] = timeout_s
            self._learn(block, timeout_s)
        return timeout_s

    def _learn(self, block: bytes, timeout_s: float) -> None:
        pieces, at = [], 0
        for name in CHANGING:
            found = block.find(b"\0" + huffman(name), at)
            if found < 0:
                return
            value = found + 1 + len(huffman(name))
            pieces.append(block[at:value])
            at = value + 1 + (block[value] & 127)
        self._pieces, self._timeout_s = (*pieces, block[at:]), timeout_s


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, counting: Counting, known: dict[bytes, tuple[Charge, ...]]) -> None:
        self.streams: dict[int, Stream] = {}
        self._counting, self._known, self._loop = counting, known, asyncio.get_running_loop()
        self._blocks = HeaderBlocks()
        self._rest, self._skip, self._received, self._last = b"", HTTP2_PREFACE_BYTES, 0, 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(OPENING)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        for stream in self.streams.values():
            stream.alive = False

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, size, calls, now = self._skip, len(data), list[Stream](), self._loop.time()
        streams, known, timeout_s = self.streams, self._known, self._blocks.timeout_s
        while size - at >= 9:
            end = at + 9 + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
            if end > size:
                break
            kind, wire = data[at + 3], data[at + 5 : at + 9]
            number = int.from_bytes(wire, "big")
            if kind == 1 and number > self._last:
                self._last = number
                streams[number] = Stream(self, number, wire, now + timeout_s(data[at + 9 : end]))
            elif kind == 0:
                self._received += end - at - 9
                message, stream = data[at + 14 : end], streams[number]
                charges = known.get(message)
                if charges is None:
                    if len(known) >= KNOWN_MAX:
                        known.clear()
                    charges = known[message] = charges_of(message)
                stream.charges = charges
                calls.append(stream)
            else:
                self._control(kind, data[at + 4], number, data[at + 9 : end])
            at = end
        self._skip = HTTP2_PREFACE_BYTES if size < HTTP2_PREFACE_BYTES and self._skip else 0
        self._rest = data[at:] if at < size else b""
        if calls:
            self._counting.add(calls)
        if self._received > 2**20:
            self.transport.write(b"\0\0\4\x08\0\0\0\0\0" + self._received.to_bytes(4, "big"))
            self._received = 0

    def _control(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == 3 and number in self.streams:
            self.streams.pop(number).alive = False
        elif kind in {4, 6} and not flags & 1:
            acknowledged = payload if kind == 6 else b""
            self.transport.write(b"\0\0%c%c\1\0\0\0\0%b" % (len(acknowledged), kind, acknowledged))


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
