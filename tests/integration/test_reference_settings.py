"""The Redis settings of envoyproxy/ratelimit, each kind on a real instance: it starts, and counts where it should."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
import redis.asyncio

from deploy.demo.processes import LOOPBACK, config_map, free_port, start_service, start_valkey
from loadtest.header_blocks import PATH
from loadtest.request_frames import request
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from tests.stores.redis.test_access import tls_options
from tests.stores.redis.test_sentinel import AUTH, watched
from tests.stores.redis.test_store import start_redis
from tests.transport.test_tls import certificate

__all__ = ["watched"]  # a fixture

pytestmark = pytest.mark.integration
CONFIG = """
domain: bench
descriptors:
  - {key: tier, rate_limit: {unit: week, requests_per_unit: 2}}
  - {key: fast, rate_limit: {unit: second, requests_per_unit: 1000}}
"""
WEEK_S = 7 * 24 * 3600
# One connection does what these size; all of them are accepted as they are.
SIZES = {
    "REDIS_POOL_SIZE": "5",
    "REDIS_POOL_ON_EMPTY_BEHAVIOR": "WAIT",
    "REDIS_PIPELINE_WINDOW": "150us",
    "REDIS_PIPELINE_LIMIT": "8",
    "REDIS_HEALTH_CHECK_ACTIVE_CONNECTION": "true",
    "REDIS_CLOSE_CONNECTION_ON_READONLY_ERROR": "true",
}
PER_SECOND_REST = {
    "REDIS_PERSECOND_TYPE": "single",
    "REDIS_PERSECOND_TLS": "false",
    "REDIS_PERSECOND_SENTINEL_AUTH": "",
    "REDIS_PERSECOND_POOL_SIZE": "5",
    "REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR": "WAIT",
    "REDIS_PERSECOND_PIPELINE_WINDOW": "0",
    "REDIS_PERSECOND_PIPELINE_LIMIT": "0",
    "REDIS_PERSECOND_TIMEOUT": "2s",
}


class Given:
    """An instance with the settings of a test, once it is `started`."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.folder = folder

    async def keep(self, started: tuple[Any, int]) -> int:
        """End a server after the test; its port."""
        self._stack.push_async_callback(started[0].stop, 9)
        return started[1]

    async def codes(self, key: str, calls: int, **environ: str) -> list[int]:
        """Start with these settings, and the overall codes of calls one after the other."""
        given = {
            "RUNTIME_ROOT": str(config_map(self._folder / "runtime", CONFIG)),
            "RUNTIME_IGNOREDOTFILES": "true",
            "COUNTER_KEY_FORMAT": "reference",
            "REDIS_TIMEOUT": "2s",
            "DRAIN_DELAY": "0",
            **environ,
        }
        instance = await start_service("service", self._folder, given)
        self._stack.push_async_callback(instance.program.stop, 9)
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{instance.grpc_port}") as channel:
            ask: Any = channel.unary_unary(PATH)
            answers = [await ask(request([(key, "gold")]), timeout=20) for _ in range(calls)]
        assert await instance.program.stop() == 0
        return [rls_pb2.RateLimitResponse.FromString(answer).overall_code for answer in answers]


@pytest_asyncio.fixture
async def given(tmp_path: Path) -> AsyncIterator[Given]:
    """Nothing started yet."""
    async with AsyncExitStack() as stack:
        yield Given(tmp_path, stack)


async def counters(port: int, **login: Any) -> dict[str, int]:
    """What a server holds, the probe's key left out."""
    client: Any = redis.asyncio.Redis(port=port, decode_responses=True, **login)
    async with client:
        keys = [key for key in await client.keys() if "rl:ready" not in key]
        return {key: int(await client.get(key)) for key in keys}


def weekly() -> dict[str, int]:
    """Three hits of this week, under the reference's key."""
    return {f"bench_tier_gold_{int(time.time()) // WEEK_S * WEEK_S}": 3}


@pytest.mark.parametrize("auth", ["pass", "default:pass"])
async def test_a_password_and_sizes_over_tcp(given: Given, auth: str) -> None:
    """REDIS_AUTH as a password, or as user:password."""
    port = await given.keep(await start_valkey(given.folder, None, "--requirepass", "pass"))
    tcp = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"{LOOPBACK}:{port}", "REDIS_AUTH": auth}
    assert await given.codes("tier", 3, **tcp, **SIZES) == [1, 1, 2]
    assert await counters(port, password="pass") == weekly()


@pytest.mark.parametrize("with_pair", [True, False])
async def test_tls(given: Given, with_pair: bool) -> None:
    """REDIS_TLS with an authority, with and without a certificate of ours."""
    tls_port, (cert, key) = free_port(), certificate(given.folder, "redis", f"IP:{LOOPBACK}")
    clients = ["--tls-auth-clients", "yes" if with_pair else "no"]
    port = await given.keep(await start_redis(given.folder, *tls_options((cert, key), tls_port), *clients))
    tls = {
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"{LOOPBACK}:{tls_port}",
        "REDIS_TLS": "true",
        "REDIS_TLS_CACERT": cert,
    }
    pair = {"REDIS_TLS_CLIENT_CERT": cert, "REDIS_TLS_CLIENT_KEY": key} if with_pair else {}
    assert await given.codes("tier", 3, **tls, **pair) == [1, 1, 2]
    assert await counters(port) == weekly()


async def test_sentinels_with_a_password(given: Given, watched: Any) -> None:
    """REDIS_TYPE=sentinel: the master's name and the sentinels, REDIS_SENTINEL_AUTH for those alone."""
    sentinel = {
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_TYPE": "sentinel",
        "REDIS_URL": f"mymaster,{LOOPBACK}:{watched.sentinel_port}",
        "REDIS_SENTINEL_AUTH": AUTH,
    }
    assert await given.codes("tier", 3, **sentinel) == [1, 1, 2]
    assert await counters(watched.master_port) == weekly()


async def test_limits_per_second_elsewhere(given: Given) -> None:
    """REDIS_PERSECOND: those limits are counted on a Unix socket here, all others by REDIS_URL."""
    path = given.folder / "s"
    main = await given.keep(await start_valkey(given.folder))
    options = ["--unixsocket", str(path), "--user", "app", "on", ">pass", "~*", "+@all"]
    fast = await given.keep(await start_valkey(given.folder, None, *options))
    both = {
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"{LOOPBACK}:{main}",
        "REDIS_PERSECOND": "true",
        "REDIS_PERSECOND_SOCKET_TYPE": "unix",
        "REDIS_PERSECOND_URL": str(path),
        "REDIS_PERSECOND_AUTH": "app:pass",
    }
    assert await given.codes("fast", 3, **both, **PER_SECOND_REST) == [1, 1, 1]
    assert await counters(main) == {}
    found = await counters(fast)
    assert all(key.startswith("bench_fast_gold_") for key in found)
    assert sum(found.values()) == 3
