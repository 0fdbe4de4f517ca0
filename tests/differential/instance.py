"""A running server, ours or theirs, and what both are started with."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc.aio

from deploy.demo.processes import LOOPBACK, Process, ProcessFailedError, free_port, until


@dataclass(frozen=True, slots=True)
class Instance:
    """Where a server listens on the loopback."""

    process: Process
    http: int
    grpc: int
    debug: int

    @classmethod
    def of(cls, process: Process, environ: Mapping[str, str]) -> "Instance":
        """One that was started with `environ`."""
        return cls(process, int(environ["PORT"]), int(environ["GRPC_PORT"]), int(environ["DEBUG_PORT"]))

    async def stop(self) -> None:
        """End it."""
        await self.process.stop()


def common(valkey_port: int, root: Path, prefix: str) -> dict[str, str]:
    """The environment of one server: ports of its own, and counters that no other one's keys can meet.

    `root` holds `config/`, with a file for each domain.
    """
    store = f"{LOOPBACK}:{valkey_port}"
    return {
        "HOST": LOOPBACK,
        "PORT": str(free_port()),
        "GRPC_HOST": LOOPBACK,
        "GRPC_PORT": str(free_port()),
        "DEBUG_HOST": LOOPBACK,
        "DEBUG_PORT": str(free_port()),
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": store,
        "REDIS_PERSECOND_SOCKET_TYPE": "tcp",
        "REDIS_PERSECOND_URL": store,
        "REDIS_TIMEOUT": "10s",
        "RUNTIME_ROOT": str(root),
        "RUNTIME_WATCH_ROOT": "false",
        "CACHE_KEY_PREFIX": prefix,
    }


async def until_serving(instance: Instance) -> Instance:
    """Wait until it answers on each of its ports. Raises ProcessFailedError, having ended it."""

    async def serves() -> bool:
        try:
            for port in (instance.http, instance.debug):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.close()
                await writer.wait_closed()
        except OSError:
            return False
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{instance.grpc}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 30)
        return True

    try:
        await until(instance.process, serves, "serving")
    except ProcessFailedError:
        await instance.stop()
        raise
    return instance
