import asyncio

import pytest

from deploy.demo.processes import LOOPBACK, free_port
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings.redis_place import Backoff
from ratelimit.settings.redis_url import RedisTarget
from ratelimit.stores.redis.connect import Dial
from ratelimit.stores.redis.node import NodeOptions, RedisNode
from tests.limiter.plans import NOW, hit


async def test_where_the_server_is_is_asked_for_each_connection(valkey_port: int) -> None:
    """A node follows its resolver: from a port where nobody is to one where a server is."""
    ports, states = [free_port(), valkey_port], asyncio.Queue[bool]()

    async def resolve() -> Dial:
        return Dial(RedisTarget(LOOPBACK, ports.pop(0)))

    stats = StoreStats()
    node = RedisNode(resolve, NodeOptions(2.0, startup=Backoff(0.01, 0.01)), stats, states.put_nowait)
    node.start()
    assert await asyncio.wait_for(states.get(), 30)
    told: list[Results] = []
    assert (ports, stats.cx_active) == ([], 1)
    await node.close()
    node.count(Batch([hit(b"k")], NOW, 0.0), told.append)
    assert "the store is away" in str(told[0][0])
    assert stats.cx_active == 0


async def test_the_variable_to_mend_is_named() -> None:
    """The error that ends a start says which setting it is about."""

    async def resolve() -> Dial:
        raise OSError("no such master")

    options = NodeOptions(1.0, startup=Backoff(0.01, 0.01, 0.01), variable="REDIS_PERSECOND_URL")
    node = RedisNode(resolve, options, StoreStats(), lambda _: None)
    node.start()
    with pytest.raises(StoreError, match="REDIS_PERSECOND_URL: cannot connect: no such master"):
        await asyncio.wait_for(node.gave_up, 30)
    await node.close()
