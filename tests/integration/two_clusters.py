"""Two clusters on loopback: a service, a sidecar and perhaps a store in each, and the link between their gateways."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import aiohttp
import yaml

from deploy.demo.processes import (
    LOOPBACK,
    ROOT,
    Envoy,
    Instance,
    Process,
    config_map,
    start_envoy,
    start_service,
    start_valkey,
)
from tests.deploy.patches import apply, patient, route_to, sidecar
from tests.faults import FaultProxy
from tests.integration.scene import Scene, in_one_window

MULTICLUSTER = ROOT / "deploy" / "multicluster"
CLUSTERS = ("cluster1", "cluster2")
CALLED = "outbound|8081||ratelimit.istioinaction.svc.cluster.local"


class TwoClusters:
    """Everything that runs; leaving it ends all.

    An east-west gateway passes TLS through and sees no calls, so a TCP proxy plays it: one to the store (`store_link`),
    and one to each cluster's service (`call_links`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = AsyncExitStack()
        self._scene = Scene(folder)
        self.envoys = self._scene.envoys
        self.instances: list[Instance] = []
        self.stores: list[Process] = []
        self.call_links: list[FaultProxy] = []
        self.store_link: FaultProxy | None = None

    async def start(self, variant: Literal["", "split"]) -> None:
        """Start what the folders of the clusters describe; `split` has a store and a share of the limits in each."""
        stores = await asyncio.gather(*(start_valkey(self._folder) for _ in (CLUSTERS if variant else CLUSTERS[:1])))
        for program, _ in stores:
            self._ends(program)
            self.stores.append(program)
        ports = [port for _, port in stores]
        if not variant:
            self.store_link = await self._stack.enter_async_context(FaultProxy(ports[0]))
            ports.append(self.store_link.port)
        self.instances += await asyncio.gather(
            *(self._service(name, variant, port) for name, port in zip(CLUSTERS, ports, strict=True))
        )
        for instance in self.instances:
            self._ends(instance.program)
            self.call_links.append(await self._stack.enter_async_context(FaultProxy(instance.grpc_port)))
        upstream = await self._scene.start_upstream()
        self.envoys += await asyncio.gather(*(self._envoy(place, upstream) for place in range(2)))
        for envoy in self.envoys:
            self._ends(envoy.program)

    async def stop(self) -> None:
        """End everything."""
        await self._stack.aclose()
        await self._scene.stop()

    async def break_link(self) -> None:
        """Neither cluster reaches anything of the other."""
        await cut(*self.call_links, *([self.store_link] if self.store_link else []))

    async def statuses(self, place: int, loyalty: str, times: int) -> Counter[int]:
        """The statuses of requests to one cluster's catalog, sent together."""
        async with aiohttp.ClientSession() as session:
            return Counter(await asyncio.gather(*(self._scene.get(session, loyalty, place) for _ in range(times))))

    async def admitted(self, loyalty: str, times: int) -> list[int]:
        """How many of the requests are admitted in each cluster, sent together; none of them fails."""
        found = await asyncio.gather(*(self.statuses(place, loyalty, times) for place in range(2)))
        assert {status for statuses in found for status in statuses} <= {200, 429}
        return [statuses[200] for statuses in found]

    async def until_answered(self, place: int, loyalty: str) -> Counter[int]:
        """Ask one cluster one by one until a call does not fail; all the statuses."""
        statuses: Counter[int] = Counter()
        async with asyncio.timeout(40), aiohttp.ClientSession() as session:
            while not statuses[200] + statuses[429]:
                statuses[await self._scene.get(session, loyalty, place)] += 1
        return statuses

    async def _service(self, name: str, variant: str, store_port: int) -> Instance:
        folder = MULTICLUSTER / name / variant
        config = yaml.safe_load((folder / "configmap.yaml").read_text())["data"]["config.yaml"]
        shipped: dict[str, str] = next(yaml.safe_load_all((folder / "store.yaml").read_text()))["data"]
        environ = {
            **shipped,
            "RUNTIME_ROOT": str(config_map(self._folder / name, in_one_window(config))),
            "RUNTIME_WATCH_ROOT": "false",
            "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "REDIS_URL": f"{LOOPBACK}:{store_port}",
            "REDIS_TIMEOUT": "5s",  # a store that is away refuses at once
            "DRAIN_DELAY": "0",
        }
        return await start_service(f"ratelimit-{name}", self._folder, environ)

    async def _envoy(self, place: int, upstream: int) -> Envoy:
        folder = MULTICLUSTER / CLUSTERS[place]
        rule = yaml.safe_load((folder / "destination-rule.yaml").read_text())
        own, other = self.instances[place].grpc_port, self.call_links[1 - place].port
        patched: dict[str, Any] = apply(sidecar(), "ratelimit-filter.yaml", "ratelimit-actions.yaml", folder=folder)
        bootstrap = route_to(patient(patched), CALLED, rule, [[own], [other]])
        return await start_envoy(self._folder, bootstrap, {"catalog": [upstream]})

    def _ends(self, program: Process) -> None:
        self._stack.push_async_callback(program.stop, 9)


async def cut(*links: FaultProxy) -> None:
    """Refuse and end the connections of these."""
    for link in links:
        await link.refuse()
        await link.reset()
