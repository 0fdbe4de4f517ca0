"""Envoys of deploy/envoy/rlqs.yaml with names, for tests and `make rlqs`, and clients that ask them at a rate."""

import asyncio
import bisect
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import yaml

from deploy.demo.processes import LOOPBACK, ROOT, Envoy, start_envoy, start_service

RLQS = ROOT / "deploy" / "envoy" / "rlqs.yaml"
NAME = "x-envoy-name"
REQUEST = b"GET / HTTP/1.1\r\nhost: shop\r\nx-service: a\r\n\r\n"
CONNECTIONS = 16
WINDOW_S = 10.0


def configuration(limit_per_s: int, envoys: int) -> str:
    """One divided limit."""
    limit = f"rate_limit: {{unit: second, requests_per_unit: {limit_per_s}}}"
    return (
        f"domain: example\ndescriptors:\n"
        f"  - {{key: service, {limit}, quota_assignment: {{expected_envoys: {envoys}}}}}\n"
    )


def environ_of(folder: Path, limit_per_s: int, envoys: int) -> dict[str, str]:
    """What a service that divides one limit is started with; its configuration is written below `folder`."""
    config = folder / "runtime" / "config"
    config.mkdir(parents=True)
    (config / "config.yaml").write_text(configuration(limit_per_s, envoys))
    return {
        "RUNTIME_ROOT": str(folder / "runtime"),
        "RLQS_ENVOY_METADATA": NAME,
        "DRAIN_DELAY": "0",
        "DRAIN_GRACE": "1s",
    }


def bootstrap(name: str) -> dict[str, Any]:
    """An Envoy that says who it is."""
    found: dict[str, Any] = yaml.safe_load(RLQS.read_text())
    manager = found["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"][0]["typed_config"]["rlqs_server"]["initial_metadata"] = [{"key": NAME, "value": name}]
    return found


class Fleet:
    """An instance of the service and Envoys that share one limit; leaving it ends all."""

    def __init__(self, folder: Path, limit_per_s: int) -> None:
        self.folder = folder
        self.limit_per_s = limit_per_s
        self.envoys: list[Envoy] = []
        self.admitted: list[float] = []
        self.denied = 0
        self.failed = 0
        self._stack = AsyncExitStack()
        self._ended = asyncio.Event()
        self._clients: list[asyncio.Task[None]] = []

    async def start(self, envoys: int, **environ: str) -> None:
        """Start the service and so many Envoys."""
        self._environ = {**environ_of(self.folder, self.limit_per_s, envoys), "BACKEND_TYPE": "memory", **environ}
        self.instance = await start_service("ratelimit", self.folder, self._environ)
        self._stack.push_async_callback(self.instance.program.stop, 9)
        for number in range(envoys):
            self.envoys.append(await self._start_envoy(number))

    async def stop(self) -> None:
        """End everything."""
        self._ended.set()
        await asyncio.gather(*self._clients)
        await self._stack.aclose()

    async def restart_service(self) -> None:
        """Kill it, and start it on the same port."""
        await self.instance.program.stop(9)
        environ = {**self._environ, "GRPC_PORT": str(self.instance.grpc_port)}
        self.instance = await start_service("ratelimit", self.folder, environ)
        self._stack.push_async_callback(self.instance.program.stop, 9)

    async def restart_envoy(self, number: int) -> None:
        """Kill one; its clients find the new one."""
        await self.envoys[number].program.stop(9)
        self.envoys[number] = await self._start_envoy(number)

    def load(self, rates: Sequence[float]) -> None:
        """Ask each Envoy at its rate, in requests per second, over several connections, until the end."""
        for number, rate in enumerate(rates):
            for _ in range(CONNECTIONS):
                self._clients.append(asyncio.ensure_future(self._client(number, rate / CONNECTIONS)))

    async def _start_envoy(self, number: int) -> Envoy:
        endpoints = {"rlqs": [self.instance.grpc_port]}
        envoy = await start_envoy(self.folder, bootstrap(f"envoy-{number}"), endpoints)
        self._stack.push_async_callback(envoy.program.stop)
        return envoy

    async def _client(self, number: int, rate: float) -> None:
        """One connection: a request at each moment of its rate, or as soon as the one before is answered."""
        while not self._ended.is_set():
            try:
                reader, writer = await asyncio.open_connection(LOOPBACK, self.envoys[number].port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            next_s = time.monotonic()
            try:
                while not self._ended.is_set():
                    next_s = max(next_s + 1 / rate, time.monotonic() - 1)
                    writer.write(REQUEST)
                    self._count(await reader.readuntil(b"\r\n\r\n"))
                    await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

    def _count(self, head: bytes) -> None:
        # The body is two bytes or none: what is left of it stands before the next head.
        status = head[head.index(b"HTTP/1.1 ") + 9 :][:3]
        if status == b"200":
            self.admitted.append(time.monotonic())
        elif status == b"429":
            self.denied += 1
        else:
            self.failed += 1


def worst_window(admitted: Sequence[float], limit_per_s: float, window_s: float = WINDOW_S) -> float:
    """The most that any window of so many seconds admitted, as a part of what it may."""
    most = 0
    for first, at_s in enumerate(admitted):
        most = max(most, bisect.bisect_left(admitted, at_s + window_s) - first)
    return most / (limit_per_s * window_s)


def use(admitted: Sequence[float], limit_per_s: float, from_s: float, until_s: float) -> float:
    """What was admitted between two moments, as a part of what may be."""
    count = bisect.bisect_left(admitted, until_s) - bisect.bisect_left(admitted, from_s)
    return count / (limit_per_s * (until_s - from_s))
