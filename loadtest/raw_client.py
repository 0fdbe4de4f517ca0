"""The load client: HTTP/2 without a library between the clock and the socket, for what h2load cannot do.

    python -m loadtest.raw_client '{"port": 8081, "kind": "unique", "requests": 60000}'

All requests are built first; then it connects, prints `ready`, and runs once a line comes in. So whoever started it can
read the server's CPU time right before and after. What it found is one line of JSON.

Closed loop: each of `connections` keeps `streams` calls open. Open loop (`rate` per second): calls begin by the clock,
whatever the answers do, and a latency counts from the moment its call was due, not from when it could be sent. A call
that finds all streams taken waits, and its wait counts.

The loop below sleeps in select(2), which wakes within 0.1 ms; the timers of an event loop are as coarse as 1 ms.
"""

import dataclasses
import gc
import itertools
import json
import select
import socket
import sys
import time
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadtest.answers import Answers, LoadFailedError, opening
from loadtest.loop_lag import percentile
from loadtest.request_frames import RequestFrames, request_frames

READ_BYTES_MAX = 256 * 1024
# A server that says nothing for so long has failed.
SILENT_S = 10.0
# In an open loop, calls are sent together where so little time lies between them.
TOGETHER_S = 0.0001


@dataclass(frozen=True, slots=True)
class Load:
    """What to do. `code`: the overall code that every answer must have; None takes any. `rate` 0 is a closed loop."""

    port: int
    kind: str = "constant"
    requests: int = 256
    connections: int = 4
    streams: int = 32
    rate: int = 0
    code: int | None = 1

    def with_any_code(self) -> "Load":
        """The same, taking any answer."""
        return dataclasses.replace(self, code=None)


@dataclass(frozen=True, slots=True)
class Found:
    """What a load came to; `client_cpu_s` tells whether the client was what held it up."""

    requests: int
    elapsed_s: float
    client_cpu_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.elapsed_s


class Connection:
    """One connection, its requests and its answers."""

    def __init__(self, load: Load, frames: RequestFrames, answers: Answers | None = None) -> None:
        self._frames = frames
        self._wire = memoryview(frames.wire)
        self._streams = load.streams
        self._answers = answers or Answers(load.code)
        self._sent = 0
        self.requests = len(frames)
        # When each request was due, or sent; latencies of those that are answered.
        self.since: list[float] = []
        self.latencies: list[float] = []
        self.socket = socket.create_connection(("127.0.0.1", load.port), timeout=SILENT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket.sendall(opening())
            while not self._answers.ready:
                self._received()
        except (OSError, LoadFailedError):
            self.close()
            raise

    @property
    def done(self) -> bool:
        """Whether every request is answered."""
        return len(self.latencies) == self.requests

    @property
    def state(self) -> str:
        """What is open, for a message."""
        calls = self._sent - len(self.latencies)
        left = self._answers.window - (self._frames.window[self._sent - 1] if self._sent else 0)
        return f"{calls} calls open, {self.requests - self._sent} to send, {left} bytes of the window left"

    def send(self, due: int) -> None:
        """Send requests until `due` of all were sent, as far as streams and the window allow."""
        answers, frames, sent = self._answers, self._frames, self._sent
        free = min(self._streams, answers.streams_max) - (sent - len(self.latencies))
        upto = min(due, sent + free)
        if upto > sent and frames.window[upto - 1] > answers.window:
            upto = bisect_right(frames.window, answers.window, sent, upto)
        if upto > sent:
            begin, end = frames.ends[sent - 1] if sent else 0, frames.ends[upto - 1]
            try:
                self.socket.sendall(self._wire[begin:end])
            except OSError as error:
                raise LoadFailedError(f"the server takes no more: {error}") from None
            self._sent = upto

    def send_all(self) -> None:
        """Send what streams and the window allow; latencies count from now."""
        self.send(self.requests)
        self.since += itertools.repeat(time.perf_counter(), self._sent - len(self.since))

    def receive(self) -> None:
        """Read once; calls that this completed have a latency. Raises LoadFailedError."""
        streams = self._received()
        now, since = time.perf_counter(), self.since
        self.latencies += [now - since[stream >> 1] for stream in streams]

    def _received(self) -> list[int]:
        try:
            data = self.socket.recv(READ_BYTES_MAX)
        except OSError as error:
            raise LoadFailedError(f"the server's answers end: {error}") from None
        if not data:
            raise LoadFailedError("the server closed the connection")
        answers = self._answers
        done = answers.feed(data)
        if answers.output:
            self.socket.sendall(answers.output)
            answers.output = b""
        return done

    def close(self) -> None:
        """Close it; whatever is open is lost."""
        self.socket.close()


def silent(connections: Iterable[Connection]) -> LoadFailedError:
    """The error of a server that says nothing any more, with what it was asked."""
    return LoadFailedError(f"silent for {SILENT_S:g} s; {', '.join(each.state for each in connections)}")


def connect(load: Load) -> list[Connection]:
    """Build every request, then open every connection. Raises LoadFailedError, OSError."""
    each, more = divmod(load.requests, load.connections)
    all_frames = [request_frames(load.kind, each + (number < more)) for number in range(load.connections)]
    connections: list[Connection] = []
    try:
        for frames in all_frames:
            connections.append(Connection(load, frames))  # noqa: PERF401 - those before one that fails are closed
    except BaseException:
        close(connections)
        raise
    return connections


def close(connections: Sequence[Connection]) -> None:
    """Close all."""
    for connection in connections:
        connection.close()


def run_closed(connections: Sequence[Connection]) -> None:
    """Answer by answer the next call, on every connection, until all are answered. Raises LoadFailedError."""
    by_socket = {connection.socket: connection for connection in connections if not connection.done}
    for connection in by_socket.values():
        connection.send_all()
    while by_socket:
        readable, _, _ = select.select(by_socket, (), (), SILENT_S)
        if not readable:
            raise silent(by_socket.values())
        for each in readable:
            connection = by_socket[each]
            connection.receive()
            connection.send_all()
            if connection.done:
                del by_socket[each]


def run_open(connections: Sequence[Connection], rate: int) -> None:
    """Begin `rate` calls a second, the connections in turns, until all are answered. Raises LoadFailedError."""
    count, start = len(connections), time.perf_counter() + 0.01
    for number, connection in enumerate(connections):
        connection.since = [start + (number + turn * count) / rate for turn in range(connection.requests)]
    requests = sum(len(connection.since) for connection in connections)
    by_socket = {connection.socket: connection for connection in connections if not connection.done}
    heard, due = start, 0
    while by_socket:
        now = time.perf_counter()
        due = min(requests, max(0, int((now + TOGETHER_S - start) * rate) + 1))
        for number, connection in enumerate(connections):
            connection.send((due - number + count - 1) // count)
        wait = start + due / rate - time.perf_counter() if due < requests else SILENT_S
        readable, _, _ = select.select(by_socket, (), (), max(0.0, wait))
        heard = time.perf_counter() if readable else heard
        if time.perf_counter() - heard > SILENT_S:
            raise silent(by_socket.values())
        for each in readable:
            connection = by_socket[each]
            connection.receive()
            if connection.done:
                del by_socket[each]


def run(load: Load, connections: Sequence[Connection]) -> Found:
    """Run the load to its end. Raises LoadFailedError, OSError."""
    started, cpu = time.perf_counter(), time.process_time()
    if load.rate:
        run_open(connections, load.rate)
    else:
        run_closed(connections)
    elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    latencies = sorted(latency * 1000 for connection in connections for latency in connection.latencies)
    parts = [percentile(latencies, part) for part in (0.5, 0.99, 0.999)]
    return Found(len(latencies), elapsed_s, cpu_s, *parts)


def main() -> int:
    """Build, say `ready`, wait for a line, run, print."""
    load = Load(**json.loads(sys.argv[1]))
    connections: list[Connection] = []
    try:
        connections = connect(load)
        gc.collect()
        gc.disable()  # nothing here makes cycles
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(dataclasses.asdict(run(load, connections))), flush=True)
    except (OSError, LoadFailedError) as error:
        print(json.dumps({"failed": str(error)}), flush=True)
        return 1
    finally:
        close(connections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
