"""The catalog example for integration tests: a store, instances of the service, Envoys and an upstream."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

from deploy.demo.processes import (
    LOOPBACK,
    ROOT,
    Envoy,
    Instance,
    Process,
    config_map,
    start_envoy,
    start_service,
    start_upstream,
    start_valkey,
)


class Scene:
    """Everything that runs; leaving it ends all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instances: list[Instance] = []
        self.envoys: list[Envoy] = []
        self._stack = AsyncExitStack()

    async def start(self, *, instances: int = 2, envoys: int = 1, **environ: str) -> "Scene":
        """Start the store, the instances and the Envoys."""
        await self.start_store()
        self.runtime = config_map(self.folder / "runtime", (ROOT / "config" / "catalog.yaml").read_text())
        given = {
            "RUNTIME_ROOT": str(self.runtime),
            "RUNTIME_WATCH_ROOT": "false",
            "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "REDIS_URL": f"{LOOPBACK}:{self.store_port}",
            "REDIS_TIMEOUT": "200ms",
            **environ,
        }
        for number in range(instances):
            instance = await start_service(f"ratelimit-{number}", self.folder, given)
            self._stack.push_async_callback(instance.program.stop, 9)
            self.instances.append(instance)
        upstream = await self.start_upstream()
        bootstrap = yaml.safe_load((ROOT / "deploy" / "envoy" / "bootstrap.yaml").read_text())
        ports = [instance.grpc_port for instance in self.instances]
        for _ in range(envoys):
            envoy = await start_envoy(self.folder, bootstrap, {"catalog": [upstream], "ratelimit": ports})
            self._stack.push_async_callback(envoy.program.stop)
            self.envoys.append(envoy)
        return self

    async def start_store(self, port: int | None = None) -> Process:
        """Start the store, or start it again on its port."""
        self.store, self.store_port = await start_valkey(self.folder, port)
        self._stack.push_async_callback(self.store.stop, 9)
        return self.store

    async def stop(self) -> None:
        """End everything."""
        await self._stack.aclose()

    async def get(self, session: aiohttp.ClientSession, loyalty: str, envoy: int = 0) -> int:
        """One request; its status."""
        address = f"http://{LOOPBACK}:{self.envoys[envoy].port}/"
        async with session.get(address, headers={"x-loyalty": loyalty}) as response:
            return response.status

    async def statuses(self, loyalty: str, times: int) -> Counter[int]:
        """The statuses of requests in turns over all Envoys, sent together."""
        async with aiohttp.ClientSession() as session:
            found = await asyncio.gather(*(self.get(session, loyalty, n % len(self.envoys)) for n in range(times)))
        return Counter(found)

    async def start_upstream(self) -> int:
        """A small catalog; its port."""

        async def catalog(_: web.Request) -> web.Response:
            return web.Response(text="[]")

        return await start_upstream(self._stack, catalog)


def in_one_window(config: str) -> str:
    """A configuration's limits per year instead of per minute: no window ends while a test counts, so none waits."""
    assert "unit: minute" in config
    return config.replace("unit: minute", "unit: year")


async def room_in_the_minute(seconds: float = 20) -> None:
    """Wait for the next minute where this one has less than `seconds` left: windows are fixed."""
    left = 60 - time.time() % 60
    if left < seconds:
        await asyncio.sleep(left + 0.05)
