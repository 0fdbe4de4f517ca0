import asyncio
import re
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import redis.asyncio

from deploy.demo.cluster import ValkeyCluster
from deploy.demo.processes import free_port, start_valkey
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import StoreError
from ratelimit.metrics import Metrics
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.settings import load_settings
from ratelimit.stores.redis.store import RedisStore
from ratelimit.transport.native_server import NativeServer
from ratelimit.worker import Worker
from tests.service.test_rate_limit import ASK
from tests.service.test_rate_limit import CONFIG as TEXT
from tests.stores.memcached.running import start_memcached

CONFIG = load_config([ConfigFile("f", TEXT)])
PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"


def worker(**environ: str) -> Worker:
    """A worker on a free loopback port, counting in memory."""
    given = {"GRPC_HOST": "127.0.0.1", "GRPC_PORT": "0", "BACKEND_TYPE": "memory", "DRAIN_DELAY": "0", **environ}
    return Worker(load_settings(given), Metrics())


async def test_a_worker_serves_the_configuration_it_is_handed() -> None:
    """It has no source of its own: calls fail until the first swap, and follow each."""
    made = worker(LOCAL_CACHE_SIZE_IN_BYTES="1000", COUNTER_KEY_FORMAT="reference")
    await made.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.grpc.port}") as channel:
        ask: Any = channel.unary_unary(PATH)
        with pytest.raises(grpc.aio.AioRpcError, match="no rate limit configuration loaded"):
            await ask(ASK)
        made.swap(CONFIG)
        answers = [rls_pb2.RateLimitResponse.FromString(await ask(ASK)) for _ in range(3)]
    assert [answer.overall_code for answer in answers] == [1, 1, 2]
    await made.close()


@pytest.mark.parametrize(
    ("environ", "served"),
    [({}, True), ({"RLQS_ENABLED": "false"}, False)],
)
async def test_limits_are_divided_where_that_is_wanted(environ: dict[str, str], served: bool) -> None:
    """Under the configuration that the worker is handed."""
    made = worker(**environ)
    made.swap(CONFIG)
    assert (made.quota is not None) is served
    await made.close()


async def test_processes_that_share_no_ledger_divide_nothing() -> None:
    """Each would divide the whole."""
    made = worker(BACKEND_TYPE="memcache", MEMCACHE_HOST_PORT="127.0.0.1:1", WORKERS="2")
    assert made.quota is None
    await made.close()


async def test_windows_follow_the_clock_of_the_store(valkey_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """STORE_CLOCK=redis: a local clock that is off by decades does not matter."""
    monkeypatch.setattr("ratelimit.clock.SystemClock.now", lambda _: 5.0)
    url = f"127.0.0.1:{valkey_port}"
    redis_at = {"BACKEND_TYPE": "redis", "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": url, "REDIS_TIMEOUT": "5s"}
    made = worker(STORE_CLOCK="redis", **redis_at)
    await made.start()
    made.swap(CONFIG)
    await made.service.ask(ASK)
    async with redis.asyncio.Redis(port=valkey_port) as client:
        names = [name for name in await client.keys() if b"ready" not in name]
    await made.close()
    assert [int(name.rpartition(b":")[2]) > 1_700_000_000 for name in names] == [True]


@pytest.mark.parametrize(
    ("key_format", "names"),
    [("exact", rb"p:\{rl:\d+\}f2:\d+:.*,:17\d{8}"), ("reference", rb"p:[a-z]\w*_17\d{8}")],
)
async def test_counters_of_a_cluster_lie_in_buckets(
    valkey_cluster: ValkeyCluster, key_format: str, names: bytes
) -> None:
    """REDIS_TYPE=CLUSTER chooses their tags, but for the reference's format, which has none."""
    cluster = {"BACKEND_TYPE": "redis", "REDIS_TYPE": "cluster", "REDIS_URL": valkey_cluster.url}
    made = worker(CACHE_KEY_PREFIX="p:", COUNTER_KEY_FORMAT=key_format, REDIS_TIMEOUT="5s", **cluster)
    await made.start()
    made.swap(CONFIG)
    await made.service.ask(ASK)
    await made.close()
    found = [name for node in valkey_cluster.masters for name in await asyncio.to_thread(node.ask, "KEYS", "*")]
    counters = [name for name in found if b"ready" not in name]
    assert [re.fullmatch(names, name) is not None for name in counters] == [True], counters


@pytest.mark.parametrize(("together", "left"), [("STOP", [3, 1]), ("all_or_nothing", [1, 1])])
async def test_limits_across_the_slots_of_a_cluster_are_charged_together(
    valkey_cluster: ValkeyCluster, together: str, left: list[int]
) -> None:
    """COUNTER_KEY_FORMAT=reference: of what goes over it is charged alone, or nothing at all."""
    whole = f"all_or_nothing: {str(together == 'all_or_nothing').lower()}"
    limits = [
        f"{{key: {key}, rate_limit: {{unit: day, requests_per_unit: {limit}}}}}" for key, limit in (("a", 1), ("b", 9))
    ]
    text = f"domain: d\n{whole}\ndescriptors: [{', '.join(limits)}]"
    redis_at = {
        "BACKEND_TYPE": "redis",
        "REDIS_TYPE": "CLUSTER",
        "REDIS_URL": valkey_cluster.url,
        "REDIS_TIMEOUT": "5s",
    }
    stop = str(together == "STOP").lower()
    made = worker(COUNTER_KEY_FORMAT="reference", STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT=stop, **redis_at)
    await made.start()
    made.swap(load_config([ConfigFile("f", text.encode())]))
    asked = rls_pb2.RateLimitRequest(domain="d")
    for key in "ab":
        asked.descriptors.add().entries.add(key=key, value="v")
    answers = [await made.service.ask(asked.SerializeToString()) for _ in range(3)]
    assert [rls_pb2.RateLimitResponse.FromString(each).overall_code for each in answers] == [1, 2, 2]
    await made.close()
    held = {}
    for node in valkey_cluster.masters:
        for name in await asyncio.to_thread(node.ask, "KEYS", "d_*"):
            held[name[:3]] = int(await asyncio.to_thread(node.ask, "GET", name))
    assert [held[b"d_a"], held[b"d_b"]] == left


async def test_the_configuration_counts_for_health_where_it_must() -> None:
    """HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED: healthy with a domain, not without."""
    made = worker(HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED="true")
    await made.start()
    seen = [made.health.healthy]
    for config in (CONFIG, load_config([])):
        made.swap(config)
        seen.append(made.health.healthy)
    assert seen == [False, True, False]
    await made.close()


async def test_a_drain_is_seen_before_anything_is_refused() -> None:
    """Not healthy at once, calls are taken during DRAIN_DELAY, and after it no more."""
    made, hurry = worker(DRAIN_DELAY="1h"), asyncio.Event()
    await made.start()
    made.swap(CONFIG)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.grpc.port}") as channel:
        ask: Any = channel.unary_unary(PATH)
        await ask(ASK)
        draining = asyncio.ensure_future(made.drain(hurry))
        await asyncio.sleep(0)
        assert not made.health.healthy
        await ask(ASK)
        hurry.set()
        await asyncio.wait_for(draining, 30)
        await made.close()
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(ASK)


async def test_nobody_is_waited_for_where_nobody_is_connected() -> None:
    """DRAIN_DELAY is for clients that have to notice."""
    made = worker(DRAIN_DELAY="1h")
    await made.start()
    await asyncio.wait_for(made.drain(asyncio.Event()), 30)
    await made.close()


async def test_calls_are_taken_once_the_store_is_there(valkey_port: int) -> None:
    """Whoever calls as soon as the port listens is counted; an absent store delays that for a moment only."""
    for port, healthy in ((valkey_port, True), (free_port(), False)):
        made = worker(BACKEND_TYPE="redis", REDIS_SOCKET_TYPE="tcp", REDIS_URL=f"127.0.0.1:{port}")
        await made.start()
        assert (made.health.healthy, made.grpc.port > 0) == (healthy, True)
        await made.close()


async def test_a_counter_lives_in_one_store_whoever_else_is_charged(valkey_port: int, tmp_path: Path) -> None:
    """REDIS_PERSECOND and all_or_nothing: a limit per second counts in the main store, alone and in company."""
    program, port = await start_valkey(tmp_path)
    urls = {"REDIS_URL": f"127.0.0.1:{valkey_port}", "REDIS_PERSECOND_URL": f"127.0.0.1:{port}"}
    types = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_PERSECOND_SOCKET_TYPE": "tcp", "REDIS_PERSECOND": "true"}
    made = worker(BACKEND_TYPE="redis", REDIS_TIMEOUT="5s", REDIS_PERSECOND_TIMEOUT="5s", **urls, **types)
    text = b"all_or_nothing: true\n" + TEXT.lstrip().replace(b"unit: minute", b"unit: second")
    made.swap(load_config([ConfigFile("f", text)]))
    await made.start()
    alone = rls_pb2.RateLimitRequest.FromString(ASK)
    company = rls_pb2.RateLimitRequest.FromString(ASK)
    company.descriptors.append(company.descriptors[0])
    for each in (alone, company, alone):
        await made.service.ask(each.SerializeToString())
    await made.close()
    async with redis.asyncio.Redis(port=port) as client:
        assert [key for key in await client.keys("*") if b"ready" not in key] == []
    await program.stop()


async def test_limits_per_second_have_a_store_of_their_own(valkey_port: int, tmp_path: Path) -> None:
    """REDIS_PERSECOND: ready when both are; a counter per second lives in the second one."""
    program, port = await start_valkey(tmp_path)
    urls = {"REDIS_URL": f"127.0.0.1:{valkey_port}", "REDIS_PERSECOND_URL": f"127.0.0.1:{port}"}
    types = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_PERSECOND_SOCKET_TYPE": "tcp", "REDIS_PERSECOND": "true"}
    times = {"REDIS_TIMEOUT": "5s", "REDIS_PERSECOND_TIMEOUT": "5s"}
    made = worker(BACKEND_TYPE="redis", **urls, **types, **times)
    made.swap(load_config([ConfigFile("f", TEXT.replace(b"unit: minute", b"unit: second"))]))
    await made.start()
    assert made.health.healthy
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.grpc.port}") as channel:
        ask: Any = channel.unary_unary(PATH)
        await ask(ASK)
    found = []
    for each in (valkey_port, port):
        async with redis.asyncio.Redis(port=each) as client:
            found.append([key for key in await client.keys("*") if b"ready" not in key])
    assert found[0] == []
    assert len(found[1]) == 1
    stats = made._metrics.per_second_store
    assert stats is not None
    assert (stats.batches, stats.cx_active) == (1, 1)
    assert made._metrics.snapshot().singles["ratelimit.redis_per_second_pool.cx_active"] == 1
    await made.close()
    await program.stop()


async def test_giving_up_on_the_store_is_told() -> None:
    """REDIS_STARTUP_MAX_ELAPSED_TIME ends the wait with the reason; memory is never given up."""
    url = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"127.0.0.1:{free_port()}"}
    waits = {"REDIS_STARTUP_INITIAL_INTERVAL": "10ms", "REDIS_STARTUP_MAX_ELAPSED_TIME": "20ms"}
    made, memory = worker(BACKEND_TYPE="redis", **url, **waits), worker()
    await made.start()
    never = asyncio.ensure_future(memory.gave_up())
    with pytest.raises(StoreError, match="cannot connect"):
        await asyncio.wait_for(made.gave_up(), 30)
    assert not never.done()
    never.cancel()
    await made.close()
    await memory.close()


async def test_the_store_closes_after_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call in flight waits for the store, so the server ends first, with a drain and without one."""
    order: list[str] = []

    async def store_closes(_: RedisStore) -> None:
        order.append("store")

    async def server_stops(*_: object) -> None:
        order.append("server")

    monkeypatch.setattr(RedisStore, "close", store_closes)
    monkeypatch.setattr(NativeServer, "stop", server_stops)
    made = worker(BACKEND_TYPE="redis")
    await made.drain(asyncio.Event())
    await made.close()
    assert order == ["server", "server", "store"]


async def test_it_counts_in_memcached(tmp_path: Path) -> None:
    """Healthy once the server counted; what was asked is found there, and gone with it."""
    program, port = await start_memcached(tmp_path)
    made = worker(BACKEND_TYPE="memcache", MEMCACHE_HOST_PORT=f"127.0.0.1:{port}", REDIS_TIMEOUT="5s")
    await made.start()
    assert made.healthy
    made.swap(CONFIG)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{made.grpc.port}") as channel:
        ask: Any = channel.unary_unary(PATH)
        answers = [rls_pb2.RateLimitResponse.FromString(await ask(ASK)) for _ in range(3)]
    assert [answer.overall_code for answer in answers] == [1, 1, 2]
    await made.close()
    await program.stop()
