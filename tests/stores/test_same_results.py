"""Every store gives the results of the model: random batches, one after the other, on all of them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.demo.cluster import ValkeyCluster
from ratelimit.descriptors.limit import Unit
from ratelimit.limiter.algorithm import GCRA, SLIDING_WINDOW, Algorithm
from ratelimit.limiter.counter_store import COUNT_MAX, CounterStore, Hit
from ratelimit.stores.memory import MemoryStore
from tests.limiter.plans import NOW, hit, moment
from tests.stores.contract import results
from tests.stores.redis.test_cluster_contract import cluster_store
from tests.stores.redis.test_store import Store, start_redis

AMOUNTS = st.one_of(st.integers(-4, 6), st.sampled_from([2**32 - 1, -(2**32 - 1), COUNT_MAX]))
HIT = st.tuples(st.sampled_from([b"a", b"b", b"c"]), AMOUNTS, st.integers(0, 9))
GROUPS = st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.lists(HIT, min_size=1, max_size=4)), min_size=1, max_size=6)


@dataclass(slots=True)
class Served:
    """Connected stores, and the ports of all their servers."""

    stores: list[Store]
    ports: list[int]

    async def flush(self) -> None:
        """Empty them."""
        for port in self.ports:
            async with redis.asyncio.Redis(port=port) as client:
                await client.flushdb()


@pytest_asyncio.fixture
async def served(valkey_port: int, valkey_cluster: ValkeyCluster, tmp_path: Path) -> AsyncIterator[Served]:
    """A Valkey, a Redis and a Cluster, on whose nodes the keys of the hits lie apart."""
    program, redis_port = await start_redis(tmp_path)
    stores = [Store(valkey_port), Store(redis_port), cluster_store(valkey_cluster)]
    for store in stores:
        await store.store.start()
        await store.connected()
    yield Served(stores, [valkey_port, redis_port, *(node.port for node in valkey_cluster.masters)])
    for store in stores:
        await store.store.close()
    await program.stop()


def batch_of(drawn: list[tuple[int, list[tuple[bytes, int, int]]]]) -> list[Hit]:
    """Hits, some of them in groups."""
    return [
        hit(name, amount, limit=limit, group=number * sign, stops=limit != 5)
        for number, (sign, hits) in enumerate(drawn, 1)
        for name, amount, limit in hits
    ]


UNITS = st.sampled_from([Unit.MINUTE, Unit.DAY])
# Hits of an algorithm: how long after the one before in ms, on which counter, how many, and the limit.
ASKED = st.tuples(
    st.one_of(st.integers(-5, 40_000), st.integers(0, 2**38)), st.sampled_from([b"a", b"b"]), AMOUNTS, st.integers(0, 9)
)
TIMED = st.tuples(st.sampled_from([SLIDING_WINDOW, GCRA, None]), UNITS, st.lists(ASKED, min_size=1, max_size=8))


def timed(drawn: list[tuple[Algorithm | None, Unit, list[tuple[int, bytes, int, int]]]]) -> list[list[Hit]]:
    """Batches, each of one algorithm, or of the fixed window between them."""
    at_ms, batches = NOW * 1000, []
    for algorithm, unit, hits in drawn:
        batch = []
        for gap_ms, name, amount, limit in hits:
            at_ms += gap_ms
            if algorithm is None:
                batch.append(hit(name, amount, limit=limit))
            else:
                own = name + algorithm.tag.encode() + b"%d" % unit.wire
                batch.append(moment(algorithm, at_ms, amount, limit=limit, unit=unit, name=own))
        batches.append(batch)
    return [[each for batch in batches for each in batch], *batches]


# Batches are drawn in a thread of their own while the loop's goes on, where stores spread their waits at random.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
async def test_memory_valkey_redis_and_a_cluster_agree(served: Served) -> None:
    """The same batches have the same results, hit by hit, whatever they hold."""
    loop = asyncio.get_running_loop()

    async def agree(batches: list[list[Hit]]) -> None:
        model = MemoryStore()
        await served.flush()
        for hits in batches:
            expected = await results(model, hits)
            for store in served.stores:
                counter: CounterStore = store.store
                assert await results(counter, hits) == expected

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(TIMED, min_size=1, max_size=4))
    def run_timed(drawn: list[tuple[Algorithm | None, Unit, list[tuple[int, bytes, int, int]]]]) -> None:
        asyncio.run_coroutine_threadsafe(agree(timed(drawn)), loop).result(60)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(GROUPS, min_size=1, max_size=4))
    def run(drawn: list[list[tuple[int, list[tuple[bytes, int, int]]]]]) -> None:
        asyncio.run_coroutine_threadsafe(agree([batch_of(each) for each in drawn]), loop).result(60)

    await asyncio.to_thread(run)
    await asyncio.to_thread(run_timed)
