"""Real scrapes, and what `make tools` brings."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from deploy.demo.processes import LOOPBACK, ROOT, config_map, free_port, start_service, start_valkey
from tests.go_programs import found

# A limit that is over at the second hit, and one that no hit comes near.
CONFIG = """
domain: scraped
descriptors:
  - {key: over, rate_limit: {unit: hour, requests_per_unit: 1}}
  - {key: wide, rate_limit: {unit: hour, requests_per_unit: 1000}}
  - {key: silent, shadow_mode: true, rate_limit: {unit: hour, requests_per_unit: 1}}
"""
REQUESTS = [("scraped", key) for key in ("over", "over", "over", "wide", "silent", "silent")] + [("unknown", "over")]
OWN = {
    "REDIS_PERSECOND": "true",
    "REDIS_PERSECOND_SOCKET_TYPE": "tcp",
    "LOCAL_CACHE_SIZE_IN_BYTES": "100000",
    "WORKERS": "2",
}
AS_THE_REFERENCE = {
    "LOCAL_CACHE_SIZE_IN_BYTES": "100000",
    "PROMETHEUS_MAPPER_YAML": str(ROOT / "deploy" / "reference-mapping.yaml"),
}


@pytest.fixture(scope="session")
def _scrapes(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    async def both() -> tuple[str, str]:
        folders = [tmp_path_factory.mktemp(name) for name in ("own", "reference")]
        own, reference = await asyncio.gather(_scrape(folders[0], OWN), _scrape(folders[1], AS_THE_REFERENCE))
        return own, reference

    return asyncio.run(both())


@pytest.fixture(scope="session")
def scrape(_scrapes: tuple[str, str]) -> str:
    """What Prometheus gets of a service with workers, a second store and a cache, after some calls."""
    return _scrapes[0]


@pytest.fixture(scope="session")
def reference_scrape(_scrapes: tuple[str, str]) -> str:
    """The same by deploy/reference-mapping.yaml, without what only we have."""
    return _scrapes[1]


async def _scrape(folder: Path, environ: dict[str, str]) -> str:
    async with _service(folder, environ) as (json, metrics), aiohttp.ClientSession() as session:
        for domain, key in REQUESTS:
            body = {"domain": domain, "descriptors": [{"entries": [{"key": key, "value": "x"}]}]}
            async with session.post(json, json=body) as reply:
                assert reply.status in {200, 429}
        async with asyncio.timeout(60):
            while True:
                async with session.get(metrics) as page:
                    text = await page.text()
                # Workers tell the supervisor of their calls a little later.
                if "unknown" in text:
                    return text
                await asyncio.sleep(0.02)


@asynccontextmanager
async def _service(folder: Path, environ: dict[str, str]) -> AsyncIterator[tuple[str, str]]:
    async with AsyncExitStack() as stack:
        program, port = await start_valkey(folder)
        stack.push_async_callback(program.stop)
        prometheus = free_port()
        store = f"{LOOPBACK}:{port}"
        given = {
            "RUNTIME_ROOT": str(config_map(folder, CONFIG)),
            "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "REDIS_URL": store,
            "REDIS_PERSECOND_URL": store,
            "REDIS_TIMEOUT": "10s",
            "USE_PROMETHEUS": "true",
            "PROMETHEUS_ADDR": f"{LOOPBACK}:{prometheus}",
            "DRAIN_DELAY": "0",
            **environ,
        }
        instance = await start_service("service", folder, given)
        stack.push_async_callback(instance.program.stop)
        yield f"http://{LOOPBACK}:{instance.http_port}/json", f"http://{LOOPBACK}:{prometheus}/metrics"


def _tool(name: str) -> Callable[[], Path]:
    @pytest.fixture(scope="session", name=name)
    def fixture() -> Path:
        program = found(name)
        return program or pytest.skip(f"{name} is not there: run `make tools`, which needs Go")

    return fixture


helm = _tool("helm")
istio_crds = _tool("istio_crds")
kustomize = _tool("kustomize")
promtool = _tool("promtool")
