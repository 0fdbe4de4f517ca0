"""The HTTP listeners of a service with one limit of 2 a minute, on free loopback ports."""

import asyncio
import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from ratelimit.admin.live_page import AdminViews
from ratelimit.admin.server import AdminServer
from ratelimit.clock import SystemClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.key_watch import KeyWatch
from ratelimit.limiter.limiter import Limiter
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import Metrics
from ratelimit.service.health import Health
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.settings import MetricsSettings, ServerSettings, Settings
from ratelimit.stores.memory import MemoryStore

# Written here, since a process that is measured must not import what other tests need.
CONFIG = b"domain: d\ndescriptors: [{key: k, rate_limit: {unit: minute, requests_per_unit: 2}}]"
ASK = b'{"domain": "d", "descriptors": [{"entries": [{"key": "k", "value": "v"}]}]}'


def settings(server: dict[str, object] | None = None, **metrics: object) -> Settings:
    """All listeners on free loopback ports."""
    listening = {"host": "127.0.0.1", "port": 0, "debug_port": 0, **(server or {})}
    return Settings(
        server=ServerSettings.model_validate(listening),
        metrics=MetricsSettings.model_validate({"prometheus_addr": "127.0.0.1:0", **metrics}),
    )


class Admin:
    """Made inside the running loop."""

    def __init__(self, given: Settings) -> None:
        self.metrics, loop = Metrics(), asyncio.get_running_loop()
        self.store = MemoryStore()
        limiter = Limiter(self.store, SystemClock(), loop, OverLimitCache(0))
        planner = Planner(exact_counter, lambda key, configured: self.metrics.limit(key, configured=configured))
        self.service = RateLimitService(limiter, planner, self.metrics, loop.time)
        self.service.swap(load_config([ConfigFile("f", CONFIG)]))
        self.health = Health()
        self.server = AdminServer(given, AdminViews(self.service, self.health, self.metrics, self))

    worker_states: Sequence[dict[str, Any]] = ()

    def watch_keys(self, *, on: bool) -> None:
        """As a worker does."""
        self.service.watch = KeyWatch(time.monotonic()) if on else None

    def key_rates(self) -> Sequence[dict[str, Any]]:
        """As a worker does."""
        return () if self.service.watch is None else (self.service.watch.rates(time.monotonic()),)

    async def get(self, listener: str, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str]:
        """Status and body of a POST; an underscore in the name of a header is a hyphen."""
        address = f"http://127.0.0.1:{self.server.ports[listener]}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.post(address, data=io.BytesIO(data or b""), headers=named) as response,
        ):
            return response.status, await response.text()

    async def connect(self, listener: str = "http") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection("127.0.0.1", self.server.ports[listener])


async def until(true: Callable[[], bool]) -> None:
    """Let the loop turn until it is so."""
    while not true():  # noqa: ASYNC110 - nothing tells when a connection was accepted
        await asyncio.sleep(0)
