"""The gate: client processes, instances with workers, one Valkey; then every answer is held against the store.

For every key: what was answered without an error is stored, but for outcomes that the metrics count as unknown; what
was admitted is the limit in every window; the counts that answers tell are the history of one counter; every key of
the store expires.
"""

import asyncio
import json
import pickle
import random
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio

from deploy.demo.processes import LOOPBACK, ROOT, Instance, config_map, start_service, start_valkey
from tests.exactness import history
from tests.exactness.client import DOMAIN, FAILED, OK, Row

INSTANCES = 3
WORKERS = 2
STREAMS = 16
KEYS = 8
TOLD_S = 30.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is asked, by how many processes, and the deadline of the store."""

    requests: int
    clients: int
    redis_timeout: str

    @property
    def limits(self) -> list[int]:
        """By key: from a limit that few calls reach the end of to one that is never reached."""
        share = self.requests // KEYS
        return [1, share // 100 + 1, share // 10 + 1, share // 4 + 1, share // 2 + 1, share // 2 + 7, share, 2 * share]


@dataclass(slots=True)
class Line:
    """One key: calls answered and failed, of these admitted, and what the store holds, window by window."""

    limit: int
    acknowledged: int = 0
    failed: int = 0
    admitted: int = 0
    stored: list[int] = field(default_factory=list)
    operations: list[history.Operation] = field(default_factory=list)

    def take(self, row: Row) -> None:
        """Take in a call."""
        _, began, ended, amount, code, remaining = row
        if code == FAILED:
            self.failed += amount
            return
        self.acknowledged += amount
        if code == OK:
            self.admitted += amount
            self.operations.append(history.Operation(began, ended, self.limit - remaining, amount))

    def faults(self, unknown: int) -> list[str]:
        """What does not hold; `unknown` hits of all keys may be stored beside those that were answered."""
        stored, allowed = sum(self.stored), sum(min(count, self.limit) for count in self.stored)
        found = []
        if not self.acknowledged <= stored <= self.acknowledged + min(unknown, self.failed):
            found.append(f"{self.acknowledged} acknowledged, {self.failed} failed, but {stored} stored")
        if not allowed - min(unknown, self.failed) <= self.admitted <= allowed:
            found.append(f"{self.admitted} admitted, where {allowed} are within the limit")
        if len(self.stored) == 1:  # where a window ended meanwhile, there are two histories
            found += history.faults(self.operations, unknown=min(unknown, self.failed))
        return found


@dataclass(slots=True)
class Outcome:
    """What came of a run."""

    lines: list[Line]
    unknown: int
    lasting: list[str]
    elapsed_s: float

    def faults(self) -> list[str]:
        """Everything that does not hold."""
        found = [f"k{number}: {fault}" for number, line in enumerate(self.lines) for fault in line.faults(self.unknown)]
        beyond = sum(sum(line.stored) - line.acknowledged for line in self.lines)
        if beyond > self.unknown:
            found.append(f"{beyond} hits are stored and not acknowledged, {self.unknown} have an unknown outcome")
        return [*found, *(f"{name} has no TTL" for name in self.lasting)]

    def table(self) -> list[str]:
        """For people."""
        heads = ("key", "limit", "acknowledged", "failed", "stored", "admitted")
        rows = [
            (f"k{number}", line.limit, line.acknowledged, line.failed, sum(line.stored), line.admitted)
            for number, line in enumerate(self.lines)
        ]
        rows.append(("all", *(sum(int(row[at]) for row in rows) for at in range(1, 6))))
        lines = ["".join(f"{cell:>13}" for cell in heads)]
        lines += ["".join(f"{cell:>13,}" if isinstance(cell, int) else f"{cell:>13}" for cell in row) for row in rows]
        calls = sum(line.acknowledged + line.failed for line in self.lines)
        return [*lines, f"{calls:,} calls in {self.elapsed_s:.1f} s, {self.unknown:,} hits of unknown outcome"]


async def run(folder: Path, size: Size) -> Outcome:
    """One run, everything started and ended."""
    async with AsyncExitStack() as stack:
        store, port = await start_valkey(folder)
        stack.push_async_callback(store.stop, 9)
        units = [("day", "year")[number % 2] for number in range(KEYS)]
        descriptors = "".join(
            f"  - {{key: k{number}, rate_limit: {{unit: {unit}, requests_per_unit: {limit}}}}}\n"
            for number, (unit, limit) in enumerate(zip(units, size.limits, strict=True))
        )
        environ = {
            "RUNTIME_ROOT": str(config_map(folder / "runtime", f"domain: {DOMAIN}\ndescriptors:\n{descriptors}")),
            "RUNTIME_WATCH_ROOT": "false", "RUNTIME_IGNOREDOTFILES": "true", "USE_STATSD": "false",
            "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"{LOOPBACK}:{port}", "REDIS_TIMEOUT": size.redis_timeout,
            "WORKERS": str(WORKERS), "LOG_LEVEL": "warning", "DRAIN_DELAY": "0",
        }  # fmt: skip
        instances = []
        for number in range(INSTANCES):
            instances.append(await start_service(f"exact-{number}", folder, environ))
            stack.push_async_callback(instances[-1].program.stop, 9)
        rows, elapsed_s = await _ask(folder, size, [each.grpc_port for each in instances])
        lines = [Line(limit) for limit in size.limits]
        for row in rows:
            lines[row[0]].take(row)
        unknown = await _unknown(instances, len(rows))
        lasting = await _read(port, lines)
        return Outcome(lines, unknown, lasting, elapsed_s)


async def _ask(folder: Path, size: Size, ports: Sequence[int]) -> tuple[list[Row], float]:
    """Every client's calls, begun together."""
    clients, files, seed = [], [], random.getrandbits(32)
    async with AsyncExitStack() as stack:
        for number in range(size.clients):
            share = size.requests // size.clients + (number < size.requests % size.clients)
            given = {"ports": ports, "requests": share, "seed": seed + number, "keys": KEYS, "streams": STREAMS}
            files.append(folder / f"client-{number}")
            clients.append(
                await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.exactness.client", json.dumps(given), str(files[-1]), cwd=ROOT,
                    stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                )
            )  # fmt: skip
            stack.push_async_callback(_end, clients[-1])
        for client in clients:
            if client.stdout is None or await client.stdout.readline() != b"ready\n":
                raise ValueError("a client did not come up")
        began = time.perf_counter()
        for client in clients:
            if client.stdin is not None:
                client.stdin.write(b"\n")
        if any([await client.wait() for client in clients]):
            raise ValueError("a client failed")
        elapsed_s = time.perf_counter() - began
    return [row for file in files for row in pickle.loads(file.read_bytes())], elapsed_s


async def _end(client: asyncio.subprocess.Process) -> None:
    if client.returncode is None:
        client.kill()
        await client.wait()


async def _unknown(instances: Sequence[Instance], calls: int) -> int:
    """The unknown outcomes in the metrics, once those tell of every call."""
    async with asyncio.timeout(TOLD_S):
        while True:
            stats = [await each.stats() for each in instances]
            counted = sum(each["ratelimit_server.ShouldRateLimit.total_requests"] for each in stats)
            if counted >= calls:
                return int(sum(each["ratelimit.store.unknown_outcomes"] for each in stats))
            await asyncio.sleep(0.1)


async def _read(port: int, lines: Sequence[Line]) -> list[str]:
    """Give each line what the store holds of its key; the keys without an expiry."""
    lasting = []
    async with redis.asyncio.Redis(port=port) as client:
        async for name in client.scan_iter():
            number = next((number for number in range(len(lines)) if f"k{number}".encode() in name), None)
            if number is not None:
                lines[number].stored.append(int(await client.get(name)))
            if await client.ttl(name) == -1:
                lasting.append(repr(name))
    return lasting
