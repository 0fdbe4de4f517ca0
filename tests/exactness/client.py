"""A client of the gate: raw HTTP/2 with many calls open, which keeps what each call was answered and when.

    python -m tests.exactness.client '{"ports": [8081], "requests": 1000, "seed": 1, "keys": 4, "streams": 16}' FILE

It connects twice to every port, says `ready`, and begins when a line comes in. Into FILE go, in pickle, the rows
(key, began, ended, amount, code, remaining) of all calls: `code` is that of the response, FAILED for a call that ended
with an error. Moments are of the machine's monotonic clock, so those of several clients can be compared.
"""

import json
import pickle
import random
import select
import socket
import sys
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from hpack import Decoder

from loadtest.answers import ACK, DATA, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, frame, opening
from loadtest.request_frames import frames_of, request
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2

DOMAIN = "exact"
OK, OVER_LIMIT = rls_pb2.RateLimitResponse.OK, rls_pb2.RateLimitResponse.OVER_LIMIT
FAILED = -1
CONNECTIONS_PER_PORT = 2
SILENT_S = 30.0
READ_BYTES_MAX = 256 * 1024

Row = tuple[int, float, float, int, int, int]


class ServerError(Exception):
    """A server did what it must not do to a connection."""


@lru_cache(maxsize=100_000)
def answer(message: bytes) -> tuple[int, int]:
    """The overall code and what remains, from the bytes of a response of one descriptor."""
    response = rls_pb2.RateLimitResponse.FromString(message)
    return response.overall_code, response.statuses[0].limit_remaining


class Connection:
    """One connection and its calls; `keys` are those of its requests, in their order."""

    def __init__(self, port: int, keys: Sequence[int], streams: int) -> None:
        self._keys = keys
        self._frames = frames_of(request([(f"k{key}", "")], DOMAIN) for key in keys)
        self._streams = streams
        self._began: list[float] = []
        self._messages: dict[int, bytes] = {}
        self._rest = b""
        self._decoder = Decoder()
        self._failed: dict[bytes, bool] = {}
        self._window = 65535
        self.rows: list[Row] = []
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SILENT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(opening())

    @property
    def done(self) -> bool:
        """Whether every call has ended."""
        return len(self.rows) == len(self._keys)

    def send(self) -> None:
        """Begin calls, as far as streams and the window allow."""
        frames, sent = self._frames, len(self._began)
        upto = min(len(self._keys), sent + self._streams - (sent - len(self.rows)))
        while upto > sent and frames.window[upto - 1] > self._window:
            upto -= 1
        if upto > sent:
            self._began += [time.perf_counter()] * (upto - sent)
            self.socket.sendall(frames.wire[frames.ends[sent - 1] if sent else 0 : frames.ends[upto - 1]])

    def receive(self) -> None:
        """Read once."""
        received = self.socket.recv(READ_BYTES_MAX)
        if not received:
            raise ServerError("the server closed the connection")
        now, data, at = time.perf_counter(), self._rest + received, 0
        while len(data) - at >= 9:
            end = at + 9 + int.from_bytes(data[at : at + 3], "big")
            if end > len(data):
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big")
            self._frame(data[at + 3], data[at + 4], stream, data[at + 9 : end], now)
            at = end
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind == DATA:
            self._messages[stream] = self._messages.get(stream, b"") + payload
        elif kind == HEADERS:
            if flags & END_STREAM:
                self._end(stream >> 1, self._messages.pop(stream, b"")[5:], failed=self._is_failure(payload), now=now)
        elif kind == SETTINGS:
            if not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
        elif kind == PING:
            self.socket.sendall(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._window += 0 if stream else int.from_bytes(payload, "big")
        else:
            raise ServerError(f"a frame of type {kind}: {payload.hex()}")

    def _end(self, number: int, message: bytes, *, failed: bool, now: float) -> None:
        code, remaining = (FAILED, 0) if failed else answer(message)
        self.rows.append((self._keys[number], self._began[number], now, 1, code, remaining))

    def _is_failure(self, block: bytes) -> bool:
        if block not in self._failed:  # no block depends on another: we allow no table
            self._failed[block] = (b"grpc-status", b"0") not in list(map(tuple, self._decoder.decode(block, raw=True)))
        return self._failed[block]


def run(connections: Sequence[Connection]) -> None:
    """All calls of all connections. Raises ServerError, OSError."""
    by_socket = {connection.socket: connection for connection in connections if not connection.done}
    for connection in connections:
        connection.send()
    while by_socket:
        readable, _, _ = select.select(by_socket, (), (), SILENT_S)
        if not readable:
            raise ServerError(f"silent for {SILENT_S:g} s")
        for each in readable:
            connection = by_socket[each]
            connection.receive()
            connection.send()
            if connection.done:
                del by_socket[each]


def main() -> None:
    """Connect, say `ready`, wait for a line, run, write the rows."""
    given: dict[str, Any] = json.loads(sys.argv[1])
    chance = random.Random(given["seed"])
    places = [port for port in given["ports"] for _ in range(CONNECTIONS_PER_PORT)]
    connections = []
    for number, port in enumerate(places):
        share = given["requests"] // len(places) + (number < given["requests"] % len(places))
        keys = [chance.randrange(given["keys"]) for _ in range(share)]
        connections.append(Connection(port, keys, given["streams"]))
    print("ready", flush=True)
    sys.stdin.readline()
    run(connections)
    rows = [row for connection in connections for row in connection.rows]
    Path(sys.argv[2]).write_bytes(pickle.dumps(rows))
    for connection in connections:
        connection.socket.close()


if __name__ == "__main__":
    main()
