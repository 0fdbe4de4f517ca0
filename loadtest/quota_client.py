"""The load of `make bench-rlqs`: Envoys that report all their buckets every 5 s and obey what they are told.

    python -m loadtest.quota_client '{"port": 8081, "buckets": 1000, "envoys": 100, "limit_per_s": 2000}'

Each Envoy has a connection, and reports at its own moment: they are spread evenly over the 5 s, with jitter. Of each
bucket the k-th Envoy wants 1/k of what the first does, all together half more than the limit; who is first differs by
bucket, and what is counted varies as the number of independent requests does. When all were told of all their buckets
it prints `ready`; from then on each line that comes in is answered by a line of JSON, of what was found since the line
before. The end of the input ends it.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from math import sqrt
from typing import Any

import uvloop

from loadtest.answers import LoadFailedError
from loadtest.loop_lag import percentile
from loadtest.quota_wire import QuotaConnection, actions, rate_of
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from ratelimit.service.status_bytes import varint

DOMAIN = "quota"
KEY = "bucket"
REPORT_S = 5.0
JITTER_S = 0.01
WANTED = 1.5
NOISES = 1021
# What passes in a second where nothing was told yet: all there is.
UNASSIGNED = 1e12


@dataclass(frozen=True, slots=True)
class QuotaLoad:
    """What to do."""

    port: int
    buckets: int
    envoys: int
    limit_per_s: float


@dataclass(frozen=True, slots=True)
class Lap:
    """What was found. A report's latency: until each of its buckets was told something; late: not before the next."""

    reports: int
    late: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    actions: int
    client_busy: float


def bucket_id(number: int) -> bytes:
    """A serialised BucketId."""
    return rlqs_pb2.BucketId(bucket={KEY: f"b{number}"}).SerializeToString()


def demands(load: QuotaLoad) -> list[float]:
    """What the first, the second and so on want of a bucket, in requests per second."""
    harmonic = sum(1 / place for place in range(1, load.envoys + 1))
    return [WANTED * load.limit_per_s / harmonic / place for place in range(1, load.envoys + 1)]


class LoadEnvoy:
    """What one Envoy counts and hears, without its connection."""

    def __init__(self, ids: dict[bytes, int], wanted: list[float], noise: Callable[[], float]) -> None:
        self._places = ids
        self._fields = [b"\x0a" + varint(len(each)) + each for each in ids]
        self._wanted = wanted
        self._noise = noise
        self._told = [b""] * len(ids)
        self._rates = [UNASSIGNED] * len(ids)
        # What each was given since the last report, up to the moment from which on its rate is the one there is.
        self._given = [0.0] * len(ids)
        self._from_s = [0.0] * len(ids)
        self._open: set[int] = set()
        self._since_s = 0.0
        self.reported = False
        self.latencies: list[float] = []
        self.late = self.actions = 0

    @property
    def told_all(self) -> bool:
        """Whether it was told something of each of its buckets."""
        return all(self._told)

    def report(self, now_s: float) -> bytes:
        """A serialised report of all buckets; the first is of one request each, as those of new buckets are."""
        parts = [b"\x0a" + varint(len(DOMAIN)) + DOMAIN.encode()]
        # Envoy's timer, which does not come early, and whose whole seconds it tells; ours may be late too.
        elapsed_s = now_s - self._since_s if self.reported else 0.0
        told_s = int(elapsed_s + 2 * JITTER_S)
        elapsed = b"\x12\x02\x08" + varint(told_s) if told_s else b"\x12\x00"
        given = [
            before + rate * (now_s - at)
            for before, rate, at in zip(self._given, self._rates, self._from_s, strict=True)
        ]
        self._given, self._from_s = [0.0] * len(given), [now_s] * len(given)
        for field, wanted, most in zip(self._fields, self._wanted, given, strict=True):
            count = max(0, round(wanted * elapsed_s + sqrt(wanted * elapsed_s) * self._noise())) if elapsed_s else 1
            allowed = int(min(count, most)) if elapsed_s else 1
            usage = field + elapsed
            if allowed:  # as Envoy has it: what is nothing is not said
                usage += b"\x18" + varint(allowed)
            if count > allowed:
                usage += b"\x20" + varint(count - allowed)
            parts.append(b"\x12" + varint(len(usage)) + usage)
        return b"".join(parts)

    def sent(self, now_s: float) -> None:
        """Its report goes out now."""
        self.late += bool(self._open)
        self.reported = True
        self._open = set(range(len(self._fields)))
        self._since_s = now_s

    def take(self, message: bytes, now_s: float) -> None:
        """A response came."""
        still_open, told = self._open, self._told
        was_open = bool(still_open)
        for identifier, rest in actions(message):
            place = self._places[identifier]
            if told[place] != rest:
                told[place] = rest
                self._given[place] += self._rates[place] * (now_s - self._from_s[place])
                self._rates[place], self._from_s[place] = rate_of(rest), now_s
            still_open.discard(place)
            self.actions += 1
        if was_open and not still_open:
            self.latencies.append(now_s - self._since_s)


class EnvoyProtocol(asyncio.Protocol):
    """Its connection: feed, take, flush."""

    def __init__(self, envoy: LoadEnvoy, failed: Callable[[Exception], None]) -> None:
        self.envoy = envoy
        self._failed = failed
        self._connection = QuotaConnection()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = transport
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Answers, PINGs, windows."""
        try:
            messages = list(self._connection.feed(data))
            # What asks whether this was read is answered before it is looked at, as Envoy does.
            self._flush()
            now_s = time.perf_counter()
            for message in messages:
                self.envoy.take(message, now_s)
        except (LoadFailedError, KeyError, IndexError) as error:
            self._failed(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server went, or we did."""
        self._transport = None
        self._failed(exc or LoadFailedError("the server closed the connection"))

    def report(self) -> None:
        """Report all buckets."""
        now_s = time.perf_counter()
        message = self.envoy.report(now_s)
        self.envoy.sent(now_s)
        self._connection.send(message)
        self._flush()

    def close(self) -> None:
        """The end."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        output, self._connection.output = self._connection.output, b""
        if output and self._transport is not None:
            self._transport.write(output)


class Laps:
    """What was found since the last line that came in."""

    def __init__(self, envoys: list[LoadEnvoy]) -> None:
        self._envoys = envoys
        self._began = time.perf_counter(), time.process_time()

    @property
    def told_all(self) -> bool:
        """Whether each Envoy was told something of each of its buckets."""
        return all(envoy.told_all for envoy in self._envoys)

    def next(self) -> Lap:
        """That, and begin anew."""
        envoys = self._envoys
        latencies = sorted(1000 * each for envoy in envoys for each in envoy.latencies)
        now_s, cpu_s = time.perf_counter(), time.process_time()
        began_s, began_cpu_s = self._began
        lap = Lap(
            len(latencies),
            sum(envoy.late for envoy in envoys),
            percentile(latencies, 0.5),
            percentile(latencies, 0.99),
            latencies[-1] if latencies else 0.0,
            sum(envoy.actions for envoy in envoys),
            (cpu_s - began_cpu_s) / (now_s - began_s),
        )
        for envoy in envoys:
            envoy.latencies.clear()
            envoy.late = envoy.actions = 0
        self._began = now_s, cpu_s
        return lap


def envoys_of(load: QuotaLoad, chance: random.Random) -> list[LoadEnvoy]:
    """All of them, with their demands."""
    ids = {bucket_id(number): number for number in range(load.buckets)}
    noises = [chance.gauss(0.0, 1.0) for _ in range(NOISES)]
    wanted, noise = demands(load), itertools.cycle(noises).__next__
    return [
        LoadEnvoy(ids, [wanted[(number + bucket) % load.envoys] for bucket in range(load.buckets)], noise)
        for number in range(load.envoys)
    ]


async def report_by_the_clock(protocol: EnvoyProtocol, first_s: float, chance: random.Random) -> None:
    """At its own moments, the first so many seconds from now, until it is cancelled."""
    loop = asyncio.get_running_loop()
    due_s = loop.time() + first_s
    while True:
        await asyncio.sleep(max(0.0, due_s + chance.uniform(-JITTER_S, JITTER_S) - loop.time()))
        protocol.report()
        due_s += REPORT_S


async def run(load: QuotaLoad) -> int:
    """Report, and answer lines, until the input ends; 1 where a stream did."""
    loop, chance = asyncio.get_running_loop(), random.Random(1)
    ended: asyncio.Future[None] = loop.create_future()
    envoys = envoys_of(load, chance)

    def failed(error: Exception) -> None:
        if not ended.done():
            ended.set_exception(error)

    protocols = [
        (await loop.create_connection(partial(EnvoyProtocol, each, failed), "127.0.0.1", load.port))[1]
        for each in envoys
    ]
    step_s = REPORT_S / load.envoys
    tasks = [
        asyncio.ensure_future(report_by_the_clock(each, step_s * (number + chance.random()), chance))
        for number, each in enumerate(protocols)
    ]
    tasks.append(asyncio.ensure_future(answer_lines(Laps(envoys))))
    try:
        await asyncio.wait((ended, *tasks), return_when=asyncio.FIRST_COMPLETED)
        for each in (ended, *tasks):
            if each.done():
                each.result()
    except (LoadFailedError, OSError, KeyError, IndexError) as error:
        print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), flush=True)
        return 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for protocol in protocols:
            protocol.close()
    return 0


async def answer_lines(laps: Laps) -> None:
    """`ready` once all were told of all, and a lap for each line, to the end of the input."""
    while not laps.told_all:  # noqa: ASYNC110 - looked at for some seconds, once
        await asyncio.sleep(0.05)
    laps.next()
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps(asdict(laps.next())), flush=True)


if __name__ == "__main__":
    sys.exit(uvloop.run(run(QuotaLoad(**json.loads(sys.argv[1])))))
