"""A real Cluster of three masters."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from deploy.demo.cluster import ValkeyCluster
from ratelimit.stores.redis.slots import slot_of
from ratelimit.stores.redis.store import RedisStore
from tests.stores.contract import Poison, PoisonContract, StoreContract, Ttl
from tests.stores.redis.test_store import Store


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
