"""The two servers under comparison, each with a Valkey of its own, and what can be seen of them."""

import asyncio
import contextlib
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
from redis.asyncio import Redis

from deploy.demo.processes import LOOPBACK, free_port, serving, start, start_valkey, until

# What decides nothing that is compared, or would make it differ from run to run.
COMMON = {
    "RUNTIME_SUBDIRECTORY": "",
    "RUNTIME_WATCH_ROOT": "false",
    "RUNTIME_IGNOREDOTFILES": "true",
    "EXPIRATION_JITTER_MAX_SECONDS": "0",
    "REDIS_SOCKET_TYPE": "tcp",
    "USE_STATSD": "true",
    "STATSD_HOST": LOOPBACK,
    "STATS_FLUSH_INTERVAL": "100ms",
    "LOG_LEVEL": "error",
}
OURS = {
    "COUNTER_KEY_FORMAT": "reference",
    "GRPC_ERROR_CODES": "reference",
    "CONFIG_STRICT": "false",
    "REDIS_TIMEOUT": "5s",
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


@dataclass(slots=True)
class Running:
    """A server that runs."""

    name: str
    http_port: int
    debug_port: int
    store: Redis
    statsd: Statsd
    channel: grpc.aio.Channel

    async def keys(self) -> dict[Any, Any]:
        """What the store holds."""
        return {key: await self.store.get(key) async for key in self.store.scan_iter(count=1000)}


@contextlib.asynccontextmanager
async def running(name: str, command: list[str], root: Path, environ: Mapping[str, str]) -> AsyncIterator[Running]:
    """Start one of them on free ports; all that was started ends."""
    ports = {variable: free_port() for variable in ("GRPC_PORT", "PORT", "DEBUG_PORT")}
    statsd = Statsd()
    with tempfile.TemporaryDirectory() as scratch:
        valkey, redis_port = await start_valkey(Path(scratch))
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(valkey.stop)
            await stack.enter_async_context(statsd.listening())
            settings = {
                **COMMON,
                **environ,
                **{variable: str(port) for variable, port in ports.items()},
                "RUNTIME_ROOT": str(root),
                "REDIS_URL": f"{LOOPBACK}:{redis_port}",
                "STATSD_PORT": str(statsd.port),
            }
            program = await start(name, command, Path(scratch), settings)
            stack.push_async_callback(program.stop)
            await until(program, lambda: serving(ports["GRPC_PORT"]), "serves")
            store = await stack.enter_async_context(Redis(port=redis_port))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"{LOOPBACK}:{ports['GRPC_PORT']}"))
            yield Running(name, ports["PORT"], ports["DEBUG_PORT"], store, statsd, channel)


@contextlib.asynccontextmanager
async def both(peer: Path, root: Path, environ: Mapping[str, str]) -> AsyncIterator[tuple[Running, Running]]:
    """Ours and the reference's on one configuration directory."""
    ours = [sys.executable, "-m", "ratelimit"]
    async with (
        running("ours", ours, root, {**environ, **OURS}) as first,
        running("reference", [str(peer)], root, environ) as second,
    ):
        yield first, second
