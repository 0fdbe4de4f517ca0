"""`make bench-restart`: two instances are replaced one after the other under load, and no call may fail.

Twice: with an address for each instance, and with one port that both share (REUSE_PORT). The clients are grpcio, raw
HTTP/2, late ones that connect for a single call all the time, a health Watch, and a real Envoy without any retry.
CALLS (100,000) sizes each of the two runs.
"""

import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy.demo.processes import (
    LOOPBACK,
    ROOT,
    Envoy,
    Instance,
    config_map,
    free_port,
    run_to_the_end,
    start_envoy,
    start_service,
    start_valkey,
    until,
)
from loadtest.request_frames import CONFIG, DOMAIN, LIMIT
from loadtest.restart_clients import Tally, load
from loadtest.sizes import number_of

GOLD = f"  - {{key: header_match, rate_limit: {{unit: hour, requests_per_unit: {LIMIT}}}}}\n"
RESTARTS = 2
DRAIN_DELAY_S = 1.0
# Clients that were refused at an address go back to it within so much.
SETTLED_S = 1.5
_HTTP_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"


@dataclass(slots=True)
class Restarts:
    """What came of a run: calls by client, how long each ended instance took beyond DRAIN_DELAY, Envoy's counters."""

    tally: Tally = field(default_factory=Tally)
    exit_codes: list[int] = field(default_factory=list)
    ended_s: list[float] = field(default_factory=list)
    envoy: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people."""
        tally = self.tally
        clients = ", ".join(f"{name} {count:,}" for name, count in sorted(tally.answered.items()))
        failures = [f"  FAILED {count} x {reason}" for reason, count in tally.failed.items()]
        ended = ", ".join(f"{seconds:.2f} s" for seconds in self.ended_s)
        counters = ", ".join(f"{name} {count:,}" for name, count in sorted(self.envoy.items()))
        totals = f"{tally.calls:,} calls, {tally.failed.total()} failed ({clients})"
        return [totals, *failures, f"instances ended {ended} after DRAIN_DELAY", f"Envoy: {counters}"]


def bootstrap() -> tuple[dict[str, Any], int]:
    """The demo's Envoy without retries, with an upstream in itself; and the port of that."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "envoy" / "bootstrap.yaml").read_text())
    resources = found["static_resources"]
    limits = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]
    config = limits["typed_config"]
    config["domain"], config["timeout"] = DOMAIN, "10s"
    del config["rate_limit_service"]["grpc_service"]["retry_policy"]
    (cluster,) = [each for each in resources["clusters"] if each["name"] == "ratelimit"]
    del cluster["circuit_breakers"], cluster["outlier_detection"]
    cluster["health_checks"][0] |= {"interval": "0.1s", "no_traffic_interval": "0.1s", "timeout": "5s"}
    port = free_port()
    resources["listeners"].append(_upstream(port))
    return found, port


def _upstream(port: int) -> dict[str, Any]:
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = {
        "@type": f"type.googleapis.com/{_HTTP_MANAGER}",
        "stat_prefix": "upstream",
        "route_config": {"virtual_hosts": [{"name": "upstream", "domains": ["*"], "routes": [answer]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"type.googleapis.com/{_ROUTER}"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": LOOPBACK, "port_value": port}}
    return {"name": "upstream", "address": address, "filter_chains": [{"filters": filters}]}


class Site:
    """The store, the instances and the Envoy of one run; `ports` are the addresses that clients know."""

    def __init__(self, folder: Path, stack: AsyncExitStack, *, shared_port: bool) -> None:
        self._folder = folder
        self._stack = stack
        self._environ: dict[str, str] = {}
        self._started = 0
        self.shared_port = shared_port
        self.ports = [free_port()] if shared_port else [free_port(), free_port()]
        self.instances: list[Instance] = []
        self.envoy: Envoy

    async def start(self, **environ: str) -> None:
        """Start everything: two instances."""
        store, store_port = await start_valkey(self._folder)
        self._stack.push_async_callback(store.stop, 9)
        self._environ = {
            "RUNTIME_ROOT": str(config_map(self._folder / "runtime", CONFIG + GOLD)),
            "RUNTIME_WATCH_ROOT": "false",
            "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "REDIS_URL": f"{LOOPBACK}:{store_port}",
            "REDIS_TIMEOUT": "5s",  # the machine is shared: the store is not what is looked at
            "REUSE_PORT": str(self.shared_port).lower(),
            "DRAIN_DELAY": f"{int(DRAIN_DELAY_S * 1000)}ms",
            "DRAIN_GRACE": "1h",
            **environ,
        }
        self.instances = [await self.start_instance(port) for port in (self.ports * 2)[:2]]
        config, upstream = bootstrap()
        self.envoy = await start_envoy(self._folder, config, {"catalog": [upstream], "ratelimit": self.ports})
        self._stack.push_async_callback(self.envoy.program.stop, 9)
        await self.healthy()

    async def start_instance(self, port: int) -> Instance:
        """One more on a port, serving."""
        self._started += 1
        name = f"ratelimit-{self._started}"
        instance = await start_service(
            name, self._folder, {**self._environ, "GRPC_PORT": str(port)}, wait_serving=False
        )
        self._stack.push_async_callback(instance.program.stop, 9)

        async def serving() -> bool:
            text = instance.program.log.read_text()
            return "healthy: calls are welcome" in text and "serving" in text

        await until(instance.program, serving, "serving")
        return instance

    async def healthy(self) -> None:
        """Wait until Envoy finds every address healthy."""

        async def found() -> bool:
            stats = await self.envoy.stats("cluster.ratelimit.membership_healthy")
            return set(stats.values()) == {len(self.ports)}

        await until(self.envoy.program, found, "content with the instances")

    async def replace(self, restarts: Restarts) -> None:
        """End the oldest instance; another takes its place, before where the port is shared, else after."""
        oldest = self.instances.pop(0)
        if self.shared_port:
            self.instances.append(await self.start_instance(oldest.grpc_port))
        began = time.perf_counter()
        restarts.exit_codes.append(await oldest.program.stop())
        restarts.ended_s.append(time.perf_counter() - began - DRAIN_DELAY_S)
        if not self.shared_port:
            self.instances.append(await self.start_instance(oldest.grpc_port))
        await self.healthy()


async def run(folder: Path, calls: int, *, shared_port: bool) -> Restarts:
    """Replace both instances, at even intervals of `calls` calls."""
    restarts = Restarts()
    tally = restarts.tally
    async with AsyncExitStack() as stack:
        site = Site(folder, stack, shared_port=shared_port)
        await site.start()
        async with load(site.ports, site.envoy.port, tally):
            for number in range(RESTARTS):
                await _reached(tally, calls * (number + 1) // (RESTARTS + 1))
                await site.replace(restarts)
                await asyncio.sleep(SETTLED_S)
            await _reached(tally, calls)
        restarts.envoy = await envoy_counters(site.envoy)
    return restarts


async def _reached(tally: Tally, calls: int) -> None:
    while tally.calls < calls and not tally.ended.is_set():  # noqa: ASYNC110 - an event for each call would cost
        await asyncio.sleep(0.02)


async def envoy_counters(envoy: Envoy) -> dict[str, int]:
    """What Envoy counted of the filter, and what went wrong with the service's connections and calls."""
    wanted = ("ok", "over_limit", "error", "failure_mode_allowed")
    filter_counts = await envoy.stats("cluster.catalog.ratelimit.")
    found = {name: filter_counts.get(f"cluster.catalog.ratelimit.{name}", 0) for name in wanted}
    prefix = "cluster.ratelimit.upstream_"
    for name, value in (await envoy.stats(prefix)).items():
        short = name.removeprefix(prefix)
        if short in ("rq_total", "cx_total") or (value and any(bad in short for bad in _BAD)):
            found[short] = value
    return found


_BAD = ("5xx", "reset", "protocol_error", "with_active_rq", "connect_fail", "pending_failure", "timeout", "retry")


async def main() -> int:
    """Both runs; 1 where a call failed."""
    calls = number_of("CALLS", 100_000, 100)
    good = True
    for shared_port in (False, True):
        print(f"{'one port that both share' if shared_port else 'an address for each'}:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            restarts = await run(Path(folder), calls, shared_port=shared_port)
        print("\n".join(f"  {line}" for line in restarts.lines()), flush=True)
        good &= not restarts.tally.failed and set(restarts.exit_codes) == {0}
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "restart"))
