"""Real Clusters: the contract on three masters, and the ways in."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from deploy.demo.cluster import ValkeyCluster
from deploy.demo.processes import LOOPBACK, free_port
from ratelimit.stores.redis.slots import SLOTS, slot_of
from ratelimit.stores.redis.store import RedisStore
from tests.limiter.plans import hit
from tests.stores.contract import Poison, PoisonContract, StoreContract, Ttl, count
from tests.stores.redis.test_access import tls_options
from tests.stores.redis.test_store import Store, start_redis
from tests.transport.test_tls import certificate


def cluster_store(cluster: ValkeyCluster, **settings: object) -> Store:
    """A store on the Cluster."""
    return Store(0, redis_type="CLUSTER", redis_url=cluster.url, redis_startup_initial_interval=0.02, **settings)


@pytest.mark.one_loop
class TestCluster(StoreContract, PoisonContract):
    """The contract, with keys on every node."""

    @pytest_asyncio.fixture
    async def store(self, valkey_cluster: ValkeyCluster) -> AsyncIterator[RedisStore]:
        held = cluster_store(valkey_cluster)
        await held.store.start()
        await held.connected()
        yield held.store
        await held.store.close()

    @pytest.fixture
    def ttl(self, valkey_cluster: ValkeyCluster) -> Ttl:
        async def left(key: bytes) -> float | None:
            node = valkey_cluster.owner_of(slot_of(key))
            seconds = await asyncio.to_thread(node.ask, "TTL", key)
            return None if seconds == -2 else float(seconds)

        return left

    @pytest.fixture
    def poison(self, valkey_cluster: ValkeyCluster) -> Poison:
        async def make(name: bytes) -> None:
            node = valkey_cluster.owner_of(slot_of(name))
            await asyncio.to_thread(node.ask, "LPUSH", name, "text")

        return make


@pytest.mark.one_loop
async def test_one_seed_is_enough(valkey_cluster: ValkeyCluster) -> None:
    """The first one of the list is gone."""
    url = f"{LOOPBACK}:{free_port()},{valkey_cluster.url}"
    held = Store(0, redis_type="CLUSTER", redis_url=url, redis_startup_initial_interval=0.02)
    await held.store.start()
    await held.connected()
    assert await count(held.store, *(hit(b"%d" % number) for number in range(20))) == [1] * 20
    await held.store.close()


@pytest.mark.one_loop
async def test_scripts_that_are_flushed_are_sent_again(valkey_cluster: ValkeyCluster) -> None:
    """Each command that did not run goes out again by itself."""
    held = cluster_store(valkey_cluster)
    await held.store.start()
    await held.connected()
    for expected in (1, 2):
        for node in valkey_cluster.masters:
            await asyncio.to_thread(node.ask, "SCRIPT", "FLUSH")
        assert await count(held.store, *(hit(b"%d" % number) for number in range(20))) == [expected] * 20
    await held.store.close()


@pytest_asyncio.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    """What the settings say of a Cluster of one Redis, by TLS on both sides and with a user of few rights."""
    tls_port = free_port()
    cert, key = certificate(tmp_path, "redis", f"IP:{LOOPBACK}")
    cluster = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--dir", str(tmp_path), "--cluster-port"]
    rights = ["+@scripting", "+cluster|slots", "+get", "+incrby", "+ttl", "+expire", "+client|setname"]
    users = [*cluster, str(free_port()), "--user", "app", "on", ">pass", "~p:*", *rights]
    program, port = await start_redis(tmp_path, *tls_options((cert, key), tls_port), *users)
    try:
        server: Any = redis.asyncio.Redis(port=port)
        await server.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        await server.aclose()
        files = {"redis_tls_cacert": cert, "redis_tls_client_cert": cert, "redis_tls_client_key": key}
        yield {"redis_url": f"{LOOPBACK}:{tls_port}", "redis_auth": "app:pass", "redis_tls": True, **files}
    finally:
        await program.stop()


@pytest.mark.one_loop
async def test_nodes_with_certificates_and_users(guarded: dict[str, Any]) -> None:
    """Redis with tls-cluster names its TLS port; REDIS_AUTH, REDIS_TLS and its files are for every node."""
    held = Store(0, "p:", redis_type="CLUSTER", redis_startup_initial_interval=0.02, **guarded)
    await held.store.start()
    try:
        await held.connected()
        assert await count(held.store, hit(b"p:k"), hit(b"p:l", 3)) == [1, 3]
    finally:
        await held.store.close()
