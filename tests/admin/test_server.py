import asyncio
import io
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from ratelimit.admin.server import AdminServer, AdminViews
from ratelimit.clock import SystemClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.limiter import Limiter
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import Metrics
from ratelimit.service.health import Health
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.settings import MetricsSettings, ServerSettings, Settings
from ratelimit.stores.memory import MemoryStore
from tests.service.test_rate_limit import CONFIG

ASK = b'{"domain": "d", "descriptors": [{"entries": [{"key": "k", "value": "v"}]}]}'


def settings(**metrics: object) -> Settings:
    """All listeners on free loopback ports."""
    server = ServerSettings(host="127.0.0.1", port=0, debug_port=0)
    return Settings(
        server=server, metrics=MetricsSettings.model_validate({"prometheus_addr": "127.0.0.1:0", **metrics})
    )


class Admin:
    """The admin of a service with one limit of 2 a minute."""

    def __init__(self, given: Settings) -> None:
        metrics, loop = Metrics(), asyncio.get_running_loop()
        limiter = Limiter(MemoryStore(), SystemClock(), loop, OverLimitCache(0))
        planner = Planner(exact_counter, lambda key, configured: metrics.limit(key, configured=configured))
        self.service = RateLimitService(limiter, planner, metrics, loop.time)
        self.health = Health()
        self.server = AdminServer(given, AdminViews(self.service, self.health, metrics))

    async def get(self, listener: str, path: str, data: bytes | None = None) -> tuple[int, str]:
        """Status and body."""
        address = f"http://127.0.0.1:{self.server.ports[listener]}{path}"
        async with aiohttp.ClientSession() as session, session.post(address, data=io.BytesIO(data or b"")) as response:
            return response.status, await response.text()


@pytest_asyncio.fixture
async def admin() -> AsyncIterator[Admin]:
    """Running, with a configuration."""
    admin = Admin(settings())
    admin.service.swap(load_config([ConfigFile("f", CONFIG)]))
    await admin.server.start()
    yield admin
    await admin.server.close()


async def test_healthcheck_follows_health(admin: Admin) -> None:
    """200 OK or 500."""
    assert (await admin.get("http", "/healthcheck"))[0] == 500
    admin.health.store_changed(connected=True)
    assert await admin.get("http", "/healthcheck") == (200, "OK")


async def test_json_decides_and_counts(admin: Admin) -> None:
    """200 and 429 with the response, any method; every mistake is 400."""
    assert [(await admin.get("http", "/json", ASK))[0] for _ in range(3)] == [200, 200, 429]
    for bad in (b"{", b'{"domain": ""}', b"x" * 2_000_000):
        assert await admin.get("http", "/json", bad) == (400, "Bad Request\n")
    assert (await admin.get("http", "/json/", ASK))[0] == 404


async def test_pages_show_limits_and_counts(admin: Admin) -> None:
    """/rlconfig, /stats and the same for Prometheus."""
    await admin.get("http", "/json", ASK)
    assert "/rlconfig" in (await admin.get("debug", "/"))[1]
    assert (await admin.get("debug", "/rlconfig"))[1].startswith("d.k: unit=MINUTE requests_per_unit=2")
    assert "ratelimit.service.rate_limit.d.k.total_hits: 1\n" in (await admin.get("debug", "/stats"))[1]
    for listener in ("debug", "metrics"):
        text = (await admin.get(listener, "/metrics"))[1]
        assert 'ratelimit_service_rate_limit_total_hits{domain="d",key1="k",key2=""} 1.0' in text


async def test_an_address_that_cannot_be_bound_is_named() -> None:
    """By its variables; metrics that nobody asked for only warn."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        admin = Admin(settings(prometheus_addr=address))
        await admin.server.start()
        assert "metrics" not in admin.server.ports
        await admin.server.close()
        wanted = Admin(settings(prometheus_addr=address, use_prometheus=True))
        with pytest.raises(OSError, match="PROMETHEUS_ADDR"):
            await wanted.server.start()
        await wanted.server.close()
        server = ServerSettings(host="127.0.0.1", port=taken.getsockname()[1], debug_port=0)
        with pytest.raises(OSError, match="HOST, PORT"):
            await Admin(Settings(server=server)).server.start()
