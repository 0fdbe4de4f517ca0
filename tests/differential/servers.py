"""The two servers under comparison, each with a Valkey of its own, and what can be seen of them."""

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import grpc.aio
from redis.asyncio import Redis

from deploy.demo.processes import LOOPBACK, start_valkey
from tests.differential.instance import Instance, common
from tests.differential.ours import start_ours
from tests.differential.peer import start_peer

# What both are given besides: it decides nothing that is compared, or would make that differ from run to run.
GIVEN = {
    "EXPIRATION_JITTER_MAX_SECONDS": "0",
    "USE_STATSD": "true",
    "STATSD_HOST": LOOPBACK,
    "STATS_FLUSH_INTERVAL": "100ms",
    "METRICS_SERIES_MAX": "1000000",
}
# The whole of a statsd flush has come when nothing more comes for so long.
QUIET_S = 0.5


@dataclass(slots=True)
class Statsd:
    """A sink of statsd over TCP: the sums of counters, and how often each timer came."""

    port: int = 0
    counters: Counter[str] = field(default_factory=Counter)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take what comes."""
        server = await asyncio.start_server(self._take, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _take(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            name, rest = line.decode().rstrip("\n").rsplit(":", 1)
            value, kind = rest.split("|", 1)
            if kind == "c":
                self.counters[name] += int(float(value))
                if float(value) and name.startswith("ratelimit.service."):
                    self.heard.set()

    async def quiet(self) -> None:
        """Wait until no counter grew for a while."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.heard.clear()
                await asyncio.wait_for(self.heard.wait(), QUIET_S)


Start = Callable[[Path, Mapping[str, str]], Awaitable[Instance]]


@dataclass(slots=True)
class Running:
    """A server that runs."""

    instance: Instance
    store: Redis
    statsd: Statsd
    channel: grpc.aio.Channel

    async def keys(self) -> dict[Any, Any]:
        """What the store holds."""
        return {key: await self.store.get(key) async for key in self.store.scan_iter(count=1000)}


@contextlib.asynccontextmanager
async def running(begin: Start, root: Path, environ: Mapping[str, str]) -> AsyncIterator[Running]:
    """Start one of them with a Valkey of its own; all that was started ends."""
    statsd = Statsd()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        valkey, redis_port = await start_valkey(folder)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(valkey.stop)
            await stack.enter_async_context(statsd.listening())
            given = {**common(redis_port, root, ""), **GIVEN, "STATSD_PORT": str(statsd.port), **environ}
            instance = await begin(folder, given)
            stack.push_async_callback(instance.stop)
            store = await stack.enter_async_context(Redis(port=redis_port))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"{LOOPBACK}:{instance.grpc}"))
            yield Running(instance, store, statsd, channel)


@contextlib.asynccontextmanager
async def both(peer: Path, root: Path, environ: Mapping[str, str]) -> AsyncIterator[tuple[Running, Running]]:
    """Ours and the reference's on one configuration directory."""
    async with (
        running(start_ours, root, environ) as first,
        running(partial(start_peer, peer), root, environ) as second,
    ):
        yield first, second
