"""The load of a fault: calls by the clock whatever the answers are, each with its moment, latency and status.

    python -m loadtest.fault_client FILE '{"port": 8081, "kind": "constant", "requests": 65000, "rate": 5000}'

As loadtest/raw_client.py, but an answer that fails is an answer. It prints `ready`, runs once a line comes in, and
writes FILE: three doubles for each call, when it was due (time.perf_counter, which all processes of a machine share),
how long its answer took from then on, both in seconds, and its grpc-status.
"""

import gc
import json
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path

from loadtest.answers import DATA, END_STREAM, HEAD, HEADERS, Answers, LoadFailedError
from loadtest.raw_client import Connection, Load, close, run_closed, run_open
from loadtest.request_frames import request_frames


class AnyAnswers(Answers):
    """The answers of one connection, whatever their status. `statuses` has that of each stream, as they came."""

    def __init__(self) -> None:
        super().__init__(None)
        self._status_of: dict[bytes, int] = {}
        self.statuses: list[int] = []

    def feed(self, data: bytes) -> list[int]:
        """The streams that these bytes completed. Raises LoadFailedError."""
        data = self._rest + data
        at, done = 0, []
        while len(data) - at >= 9:
            high, low, kind, flags, stream = HEAD.unpack_from(data, at)
            end = at + 9 + (high << 8 | low)
            if end > len(data):
                break
            if kind == HEADERS and flags & END_STREAM:
                done.append(stream)
                self.statuses.append(self._status(data[at + 9 : end]))
            elif kind not in {HEADERS, DATA}:
                self._control(kind, flags, stream, data[at + 9 : end])
            at = end
        self._rest = data[at:]
        return done

    def _status(self, block: bytes) -> int:
        found = self._status_of.get(block)
        if found is None:
            found = self._status_of[block] = int(dict(self._fields(block))[b"grpc-status"])
        return found


class AnyConnection(Connection):
    """A connection that takes any answer; `rows` are its calls as FILE holds them."""

    def __init__(self, load: Load, requests: int) -> None:
        self._found = AnyAnswers()
        self._order: list[int] = []
        super().__init__(load, request_frames(load.kind, requests), self._found)

    def _received(self) -> list[int]:
        streams = super()._received()
        self._order += streams
        return streams

    def rows(self) -> "array[float]":
        """Three numbers for each call."""
        rows = array("d")
        for stream, latency, status in zip(self._order, self.latencies, self._found.statuses, strict=True):
            rows.extend((self.since[stream >> 1], latency, status))
        return rows


def connect(load: Load) -> list[AnyConnection]:
    """Build every request and open every connection. Raises OSError, LoadFailedError."""
    connections: list[AnyConnection] = []
    try:
        for _ in range(load.connections):
            connections.append(AnyConnection(load, load.requests // load.connections))  # noqa: PERF401
    except BaseException:
        close(connections)
        raise
    return connections


def run(load: Load, connections: Sequence[AnyConnection]) -> "array[float]":
    """Run the load; the rows of all calls. Raises LoadFailedError."""
    if load.rate:
        run_open(connections, load.rate)
    else:
        run_closed(connections)
    rows = array("d")
    for connection in connections:
        rows.extend(connection.rows())
    return rows


def main() -> int:
    """Build, say `ready`, wait for a line, run, write."""
    load = Load(**json.loads(sys.argv[2]))
    connections: list[AnyConnection] = []
    try:
        connections = connect(load)
        gc.collect()
        gc.disable()  # nothing here makes cycles
        print("ready", flush=True)
        sys.stdin.readline()
        Path(sys.argv[1]).write_bytes(run(load, connections).tobytes())
    except (OSError, LoadFailedError) as error:
        print(f"failed: {error}", flush=True)
        return 1
    finally:
        close(connections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
