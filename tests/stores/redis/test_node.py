import asyncio
import dataclasses

import pytest

from deploy.demo.processes import LOOPBACK, free_port
from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings.redis_place import Backoff
from ratelimit.settings.redis_url import RedisTarget
from ratelimit.stores.redis.connect import Dial
from ratelimit.stores.redis.node import NodeOptions, RedisNode
from ratelimit.stores.redis.topology import Single
from tests.faults import FaultProxy
from tests.limiter.plans import NOW, hit
from tests.stores.redis.test_store import Store


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


async def test_a_server_that_cannot_do_all_gets_what_it_can(valkey_port: int) -> None:
    """What is beyond is refused at once, also all of it; without a refusal for long there is no limit any more."""
    held = Store(valkey_port)
    await held.store.start()
    await held.connected()
    loop, node = asyncio.get_running_loop(), held.store.topology.node  # type: ignore[attr-defined]
    node._in_flight.limit(loop.time())
    node._in_flight.most = 3.0
    ended = [loop.create_future() for _ in range(3)]
    for future, hits in zip(ended, (5, 2, 1), strict=True):
        held.store.count(Batch([hit(b"k")] * hits, NOW, loop.time() + 2.0), future.set_result)
        if future is ended[1]:
            assert [type(each) for each in await ended[0]] == [Counted] * 3 + [StoreError] * 2
    some, none, room = await asyncio.gather(*ended)
    assert [each.count for each in (*some[:3], *room)] == [1, 2, 3, 4]
    assert {str(each) for each in (*some[3:], *none)} == {"the store does not take more for now"}
    assert (held.stats.errors, held.stats.unknown_outcomes) == (2, 0)
    node._in_flight._free_at = loop.time()
    held.store.count(Batch([hit(b"k")], NOW, loop.time() + 2.0), (last := loop.create_future()).set_result)
    assert [each.count for each in await last] == [5]
    assert not node._in_flight.limited
    await held.store.close()


async def test_a_connection_that_is_not_answered_holds_nobody_up(
    valkey_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once there was one, a try whose bytes are lost is given up soon, whatever a first one may take."""
    monkeypatch.setattr("ratelimit.stores.redis.node.RECONNECT_STEP_S", 0.2)
    async with FaultProxy(valkey_port) as proxy:
        held = Store(proxy.port, redis_timeout=0.1)
        shape = held.store.topology
        assert isinstance(shape, Single)
        shape._dial = dataclasses.replace(shape._dial, timeout_s=300.0)
        await held.store.start()
        await held.connected()
        proxy.requests.swallow, asked = True, proxy.requests.bytes_seen
        await proxy.reset()
        await held.connected(False)
        await proxy.requests.seen(asked + 1)
        proxy.requests.swallow = False
        await held.connected()
        await held.store.close()
