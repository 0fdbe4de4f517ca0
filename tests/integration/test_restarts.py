import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from deploy.demo.processes import LOOPBACK, Envoy, Instance, config_map, start_envoy, start_service, start_valkey
from loadtest.request_frames import CONFIG, DOMAIN
from loadtest.restart import GOLD, bootstrap, envoy_counters, run
from tests.faults import FaultProxy

pytestmark = pytest.mark.integration
# RESTART_CALLS=100000 is what is promised; a smaller number shows what is broken as well.
CALLS = int(os.environ.get("RESTART_CALLS", "4000"))


class Gateway:
    """One Envoy, one instance, and a store behind a proxy that can hold it up."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.instance: Instance
        self.envoy: Envoy
        self.store: FaultProxy
        self.session: aiohttp.ClientSession

    async def start(self, config: dict[str, Any], upstream: int, **environ: str) -> None:
        """Start all; `config` is Envoy's, and `upstream` the port of what it guards."""
        store, port = await start_valkey(self._folder)
        self._stack.push_async_callback(store.stop, 9)
        self.store = await self._stack.enter_async_context(FaultProxy(port))
        given = {
            "RUNTIME_ROOT": str(config_map(self._folder / "runtime", CONFIG + GOLD)),
            "RUNTIME_WATCH_ROOT": "false",
            "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "REDIS_URL": f"{LOOPBACK}:{self.store.port}",
            "REDIS_TIMEOUT": "10s",
            **environ,
        }
        self.instance = await start_service("ratelimit", self._folder, given)
        self._stack.push_async_callback(self.instance.program.stop, 9)
        endpoints = {"catalog": [upstream], "ratelimit": [self.instance.grpc_port]}
        self.envoy = await start_envoy(self._folder, config, endpoints)
        self._stack.push_async_callback(self.envoy.program.stop, 9)
        self.session = await self._stack.enter_async_context(aiohttp.ClientSession())

    async def get(self) -> int:
        """One request through Envoy; its status."""
        async with self.session.get(f"http://{LOOPBACK}:{self.envoy.port}/", headers={"x-loyalty": "gold"}) as response:
            return response.status

    async def ask(self, times: int, clients: int = 8) -> set[int]:
        """So many requests from some clients; the statuses."""

        async def client() -> set[int]:
            return {await self.get() for _ in range(times // clients)}

        return set().union(*await asyncio.gather(*(client() for _ in range(clients))))


@pytest_asyncio.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Not started yet; ended after the test."""
    async with AsyncExitStack() as stack:
        yield Gateway(tmp_path, stack)


@pytest.mark.parametrize("shared_port", [False, True], ids=["two addresses", "one port"])
async def test_a_rolling_restart_fails_no_call(tmp_path: Path, shared_port: bool) -> None:
    """Of grpcio, raw HTTP/2, clients that connect late, and an Envoy without retries, with an open Watch."""
    restarts = await run(tmp_path, CALLS, shared_port=shared_port)
    assert dict(restarts.tally.failed) == {}
    assert restarts.exit_codes == [0, 0]
    assert all(restarts.tally.answered[name] for name in ("grpcio", "raw", "late", "envoy", "watch"))
    counted = restarts.envoy
    assert counted["ok"] + counted["over_limit"] == restarts.tally.answered["envoy"] == counted["rq_total"]
    assert counted["error"] == 0
    assert not {name for name in counted if "5xx" in name or "reset" in name or "active_rq" in name}


async def test_an_envoy_whose_connections_grow_old_loses_no_call(gateway: Gateway) -> None:
    """GRPC_MAX_CONNECTION_AGE=1s under load: Envoy connects anew again and again, and counts no error."""
    config, upstream = bootstrap()
    await gateway.start(config, upstream, GRPC_MAX_CONNECTION_AGE="1s")
    requests = 0
    async with asyncio.timeout(120):
        while (counted := await envoy_counters(gateway.envoy))["cx_total"] < 6:
            assert await gateway.ask(200) == {200}
            requests += 200
    assert (counted["ok"], counted["error"]) == (requests, 0)
    assert not {name for name in counted if "5xx" in name or "reset" in name or "active_rq" in name}


async def test_a_slow_store_resets_calls_and_no_connection(gateway: Gateway) -> None:
    """Envoy's 20 ms pass, call for call: the connection stays, nobody is told to calm down, and all is well at once."""
    config, upstream = bootstrap()
    _filter_of(config)["timeout"] = "0.02s"
    await gateway.start(config, upstream)
    await _until_ok(gateway)
    before = await envoy_counters(gateway.envoy)
    gateway.store.replies.stall()
    assert await gateway.ask(400) == {500}
    gateway.store.replies.flow()
    await _until_ok(gateway)
    after = await envoy_counters(gateway.envoy)
    assert after["error"] - before["error"] >= 400
    assert after["cx_total"] <= 2 + 1  # one for each thread of Envoy, one for its health checks
    assert not {name for name in after if "protocol_error" in name or "active_rq" in name or "remote" in name}


async def _until_ok(gateway: Gateway) -> None:
    """Envoy's first calls wait for connections, and may be late too."""
    async with asyncio.timeout(60):
        while await gateway.ask(8) != {200}:
            continue


def _filter_of(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _manager_of(config)["http_filters"][0]["typed_config"]
    assert found["domain"] == DOMAIN
    return found


def _manager_of(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return found
