"""A Cluster that changes while it counts: no failed call where none must fail, and totals that are exact."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.demo.cluster import ClusterNode, ValkeyCluster
from deploy.demo.processes import LOOPBACK
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Hit
from ratelimit.stores.redis.slots import slot_of
from tests.limiter.plans import hit
from tests.stores.contract import count, results
from tests.stores.redis.test_cluster_contract import cluster_store
from tests.stores.redis.test_store import Store

pytestmark = pytest.mark.one_loop


@pytest_asyncio.fixture
async def held(valkey_cluster: ValkeyCluster) -> AsyncIterator[Store]:
    """A connected store on the shared Cluster."""
    held = cluster_store(valkey_cluster)
    await held.store.start()
    await held.connected()
    yield held
    await held.store.close()


class Load:
    """Batches one after the other, several at a time, and what each hit was answered."""

    def __init__(self, held: Store, hits: Sequence[tuple[bytes, int]], *, parallel: int = 4) -> None:
        self._held = held
        self._hits = hits
        self._going = True
        self.failed: list[StoreError] = []
        self.counts: dict[bytes, list[int]] = defaultdict(list)
        self._tasks = [asyncio.create_task(self._run()) for _ in range(parallel)]

    async def _run(self) -> None:
        while self._going:
            hits: list[Hit] = [hit(name, group=group) for name, group in self._hits]
            for each, result in zip(hits, await results(self._held.store, hits), strict=True):
                if isinstance(result, StoreError):
                    self.failed.append(result)
                elif result.allowed or each.group == 0:
                    self.counts[each.key.name].append(result.count)

    async def seen(self, number: int) -> None:
        """Wait for so many more answers."""
        name = self._hits[0][0]
        wanted = len(self.counts[name]) + number
        async with asyncio.timeout(30):
            while len(self.counts[name]) < wanted:  # noqa: ASYNC110 - bounded above
                await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Let the last answers come."""
        self._going = False
        await asyncio.gather(*self._tasks)


async def ask(node: ClusterNode, *command: Any) -> Any:
    """What a node answers."""
    return await asyncio.to_thread(node.ask, *command)


async def move(cluster: ValkeyCluster, slot: int, source: ClusterNode, target: ClusterNode, load: Load) -> None:
    """Reshard one slot as redis-cli does it, key by key, with some load in each state of it."""
    await ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
    await ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
    await load.seen(3)
    while keys := await ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 1):
        await ask(source, "MIGRATE", LOOPBACK, target.port, "", 0, 5000, "KEYS", *keys)
        await load.seen(3)
    for node in (target, source, *cluster.masters):
        await ask(node, "CLUSTER", "SETSLOT", slot, "NODE", target.node_id)
    await load.seen(3)


async def test_resharding_under_load_fails_nobody(valkey_cluster: ValkeyCluster, held: Store) -> None:
    """A slot of several keys moves, and back: every call is answered, and each key counted every hit once."""
    names = [b"{moving}%d" % number for number in range(5)] + [b"{other}1", b"{third}2"]
    slot = slot_of(names[0])
    source = valkey_cluster.owner_of(slot)
    target = next(node for node in valkey_cluster.masters if node is not source)
    load = Load(held, [(name, 0) for name in names])
    await load.seen(5)
    await move(valkey_cluster, slot, source, target, load)
    # New keys of a slot that moves are made where it moves to.
    fresh = Load(held, [(b"{moving}new%d" % number, 0) for number in range(3)], parallel=1)
    await move(valkey_cluster, slot, target, source, load)
    for each in (load, fresh):
        await each.stop()
        assert each.failed == []
        for name, counts in each.counts.items():
            assert sorted(counts) == list(range(1, len(counts) + 1)), name
    assert held.stats.unknown_outcomes == 0
    assert held.stats.redirected > 0


def name_of(cluster: ValkeyCluster, node: ClusterNode, text: bytes = b"k") -> bytes:
    """A key that a node has."""
    names = (text + b"%d" % number for number in range(1000))
    return next(name for name in names if cluster.owner_of(slot_of(name)) is node)


async def fails(held: Store, name: bytes) -> None:
    """A key of a node that is gone; the last replies may still be on their way."""
    async with asyncio.timeout(30):
        while not isinstance((await results(held.store, [hit(name, 0)]))[0], StoreError):
            pass


async def counted(held: Store, name: bytes) -> int:
    """The count after a hit, as soon as it can be counted."""
    async with asyncio.timeout(30):
        while True:
            try:
                return (await count(held.store, hit(name)))[0]
            except StoreError:
                await asyncio.sleep(0.02)


async def hand_over(held: Store, mine: bytes, replica: ClusterNode) -> None:
    """Have a replica take its master's place: with both there, no call fails and no count is lost."""
    load = Load(held, [(mine, 0)])
    await load.seen(5)
    await ask(replica, "CLUSTER", "FAILOVER")
    async with asyncio.timeout(30):
        while b"role:master" not in await ask(replica, "INFO", "replication"):
            pass
    await load.seen(20)
    await load.stop()
    assert load.failed == []
    (counts,) = load.counts.values()
    assert sorted(counts) == list(range(1, len(counts) + 1))


async def test_a_killed_master_costs_its_own_keys_until_a_replica_has_them(tmp_path: Path) -> None:
    """The others go on; the replica's count goes on where the master's was; a store that starts meanwhile is ready."""
    with ValkeyCluster(tmp_path, replicas=1, node_timeout_ms=500) as cluster:
        replica, second, third = cluster.masters
        first = cluster.replicas[0]
        held = cluster_store(cluster)
        await held.store.start()
        await held.connected()
        await hand_over(held, name_of(cluster, replica, b"over"), first)
        mine, others = name_of(cluster, replica), [name_of(cluster, node) for node in (second, third)]
        load = Load(held, [(name, 0) for name in others])
        assert await count(held.store, hit(mine, 5)) == [5]
        async with asyncio.timeout(30):
            while int(await ask(first, "WAIT", 1, 100)) < 1:
                pass
        first.stop()
        await fails(held, mine)
        assert await counted(held, mine) == 6
        first.start()
        await load.seen(20)
        assert await count(held.store, hit(mine)) == [7]
        second.stop()
        late = cluster_store(cluster)
        await late.store.start()
        await late.connected()
        assert await count(late.store, hit(mine)) == [8]
        await fails(late, others[0])
        await load.stop()
        assert held.states.empty()
        counts = load.counts[others[1]]
        assert sorted(counts) == list(range(1, len(counts) + 1))
        for each in (held, late):
            await each.store.close()
            assert each.stats.cx_active == 0
