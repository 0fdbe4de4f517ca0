"""Ledgers in Redis and Valkey: the contract on one server and on a Cluster, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import hiredis
import pytest
import pytest_asyncio
import redis.asyncio

from deploy.demo.cluster import ValkeyCluster
from deploy.demo.processes import start_valkey
from ratelimit.errors import StoreError
from ratelimit.quota.ledger_store import KEPT_S, NOTHING, Commit, CommitResult, Committed
from ratelimit.stores.redis.ledgers import RedisLedgers
from ratelimit.stores.redis.slots import SLOTS, slot_of
from tests.stores.ledger_contract import BUCKET, LedgerStoreContract, committed, result_of
from tests.stores.redis.fakes import FakePipeline
from tests.stores.redis.test_cluster_contract import cluster_store
from tests.stores.redis.test_store import Store

# Keys of the first, the second and the third part of all slots.
ON_EACH = [next(b"%d" % n for n in range(100) if slot_of(b"%d" % n) * 3 // SLOTS == part) for part in range(3)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server_port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """A Valkey for all tests of this file; each flushes it."""
    program, port = await start_valkey(Path(tmp_path_factory.mktemp("ledgers")))
    yield port
    await program.stop()


@pytest_asyncio.fixture
async def held(server_port: int) -> AsyncIterator[Store]:
    """A connected store on an empty server."""
    async with redis.asyncio.Redis(port=server_port) as client:
        await client.flushall()
    held = Store(server_port, redis_startup_initial_interval=0.05)
    await held.store.start()
    await held.connected()
    yield held
    await held.store.close()


@pytest.mark.one_loop
class TestRedisLedgers(LedgerStoreContract):
    """One server."""

    @pytest.fixture
    def ledgers(self, held: Store) -> RedisLedgers:
        return RedisLedgers(held.store.topology, "team:")


@pytest.mark.one_loop
class TestClusterLedgers(LedgerStoreContract):
    """Three masters: a bucket is one key on one of them."""

    @pytest_asyncio.fixture
    async def ledgers(self, valkey_cluster: ValkeyCluster) -> AsyncIterator[RedisLedgers]:
        held = cluster_store(valkey_cluster)
        await held.store.start()
        await held.connected()
        topology = held.store.topology
        for _ in range(3_000):  # one master may come later than the others
            if all((node := topology.node_of(key)) is not None and node.pipeline is not None for key in ON_EACH):
                break
            await asyncio.sleep(0.02)
        yield RedisLedgers(topology)
        await held.store.close()


@pytest.mark.one_loop
async def test_a_bucket_is_one_hash_that_expires(held: Store, server_port: int) -> None:
    """Each change sets the expiry anew."""
    ledgers = RedisLedgers(held.store.topology, "team:")
    await committed(ledgers, NOTHING, {"a": b"1"}, b"head")
    async with redis.asyncio.Redis(port=server_port) as client:
        (key,) = await client.keys("team:*")
        assert key == b"team:rlqs2:" + BUCKET
        assert KEPT_S - 10 < await client.ttl(key) <= KEPT_S


@pytest.mark.one_loop
async def test_a_key_of_another_type_is_an_error(held: Store, server_port: int) -> None:
    """It is told, and nothing is lost of it."""
    async with redis.asyncio.Redis(port=server_port) as client:
        await client.set(b"rlqs2:" + BUCKET, "text")
    result = await result_of(RedisLedgers(held.store.topology), Commit(BUCKET, NOTHING, {"a": b"1"}))
    assert isinstance(result, StoreError)
    assert "WRONGTYPE" in result.reason


class Node:
    """A node with a pipeline that a test answers."""

    def __init__(self) -> None:
        self.pipeline: FakePipeline | None = FakePipeline()

    def refused(self) -> StoreError:
        """Why nothing goes out."""
        return StoreError("away")


class Topology:
    """One node, or none."""

    def __init__(self, node: Node | None) -> None:
        self.node = node
        self.old = 0

    def node_of(self, _name: bytes) -> Node | None:
        return self.node

    def note_old(self) -> None:
        self.old += 1


class Asked:
    """One commit on a node that a test answers."""

    def __init__(self) -> None:
        self.node = Node()
        self.topology = Topology(self.node)
        self.results: list[CommitResult] = []
        ledgers = RedisLedgers(self.topology)
        ledgers.commit(Commit(BUCKET, 7, {"a": b"1"}), self.results.append)

    def reason(self) -> str:
        """Why it failed."""
        (result,) = self.results
        assert isinstance(result, StoreError)
        return result.reason


async def test_a_script_that_is_not_there_goes_as_text() -> None:
    """Once; then its name is known."""
    asked = Asked()
    assert asked.node.pipeline is not None
    assert asked.node.pipeline.answer(hiredis.ReplyError("NOSCRIPT No matching script"))[0] == b"EVALSHA"
    assert asked.node.pipeline.answer([1, b"8", b"1700000000", b"500000"])[0] == b"EVAL"
    assert asked.results == [Committed(8, 1_700_000_000.5)]


@pytest.mark.parametrize("moved", ["MOVED 1 host:1", "ASK 1 host:1", "CLUSTERDOWN no"])
async def test_a_moved_slot_makes_the_map_old(moved: str) -> None:
    """The commit fails, and the next one finds its way."""
    asked = Asked()
    assert asked.node.pipeline is not None
    asked.node.pipeline.answer(hiredis.ReplyError(moved))
    assert asked.topology.old == 1
    assert moved.split(maxsplit=1)[0] in asked.reason()


async def test_a_replica_is_left() -> None:
    """READONLY tells of a failover: the connection ends, and where the master is is asked again."""
    asked = Asked()
    ended: list[str] = []
    assert asked.node.pipeline is not None
    asked.node.pipeline.finish = ended.append  # type: ignore[attr-defined]
    asked.node.pipeline.answer(hiredis.ReplyError("READONLY You can't write"))
    assert ended == ["the server became a replica"]


@pytest.mark.parametrize("odd", [None, [1], [0, b"1", b"1", b"1", b"", 1, b"alone"], b"text"])
async def test_an_odd_reply_is_an_error(odd: object) -> None:
    """Whether the commit was applied is not known then."""
    asked = Asked()
    assert asked.node.pipeline is not None
    asked.node.pipeline.answer(odd)
    assert "odd" in asked.reason()


async def test_no_answer_is_an_error() -> None:
    """The pipeline's own word is handed on."""
    asked = Asked()
    assert asked.node.pipeline is not None
    asked.node.pipeline.answer(StoreError("late"))
    assert asked.reason() == "late"


@pytest.mark.parametrize("node", [None, Node()], ids=["no node", "away"])
async def test_what_cannot_go_out_fails_at_once(node: Node | None) -> None:
    """No node has the slot, or it is away."""
    if node is not None:
        node.pipeline = None
    results: list[CommitResult] = []
    RedisLedgers(Topology(node)).commit(Commit(BUCKET, NOTHING), results.append)
    assert isinstance(results[0], StoreError)
    await asyncio.sleep(0)
