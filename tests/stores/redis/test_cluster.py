"""A Cluster whose nodes are scripted: what becomes of each call. test_cluster_contract.py has real ones."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import hiredis
import pytest
import pytest_asyncio
import structlog

from deploy.demo.processes import LOOPBACK, free_port
from ratelimit.clock import FollowingClock, SteppedClock
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Batch, Hit, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings import RedisSettings
from ratelimit.stores.redis import cluster as cluster_module
from ratelimit.stores.redis.cluster import LINGER_S, Cluster, Member
from ratelimit.stores.redis.node import NodeOptions
from ratelimit.stores.redis.slots import SLOTS, Address, SlotRange, slot_of
from ratelimit.stores.refusals import LATE
from tests.limiter.plans import NOW, hit
from tests.stores.redis.fakes import FakePipeline
from tests.stores.redis.test_store import Store

A, B, C = ("a", 1), ("b", 2), ("c", 3)
AT_A, AT_B = b"{b}", b"{a}"  # slots 3300 and 15495
KEY_1, KEY_2 = AT_A + b"1", AT_A + b"2"


class Nodes:
    """A Cluster whose nodes are never dialled: A has the first half of the slots, B the second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, clock: FollowingClock | None = None, **settings: Any) -> None:
        monkeypatch.setattr(Member, "start", lambda _: None)
        given = {"redis_type": "CLUSTER", "redis_url": "a:1,b:2", "redis_timeout": 0.01, **settings}
        self.states: list[bool] = []
        self.stats = StoreStats()
        place = RedisSettings.model_validate(given).place
        options = NodeOptions(place.timeout_s, "p:", place.startup, place.variable, clock)
        self.cluster = Cluster(place, options, self.stats, self.states.append)
        self.told: list[Results] = []
        self.use(A, B)

    def use(self, *masters: Address) -> None:
        """Have the slots shared evenly."""
        edges = [number * SLOTS // len(masters) for number in range(len(masters) + 1)]
        self.cluster._use([SlotRange(edges[at], edges[at + 1] - 1, each) for at, each in enumerate(masters)])

    def connect(self, *addresses: Address) -> Any:
        """Have nodes connected; the pipeline of the last."""
        for address in addresses:
            node = self.cluster._nodes[address]
            pipeline: Any = FakePipeline()
            node.pipeline = pipeline
            node._on_state(True)
            node._second_try.send(node, pipeline)
        return pipeline

    def lose(self, address: Address) -> None:
        """Have a node away."""
        node = self.cluster._nodes[address]
        node.pipeline = None
        node._on_state(False)

    def count(self, *hits: Hit, deadline_s: float = 60) -> None:
        """Send a batch."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        self.cluster.count(Batch(hits, NOW, deadline), self.told.append)

    def wait_halfway(self) -> None:
        """Have half of the time passed that the call has which is held back."""
        ((call, (_, timer)),) = self.cluster._held_back.items()
        assert 0 < timer.when() - asyncio.get_running_loop().time() <= 30 + 1e-6
        self.cluster._release(call)

    @property
    def short(self) -> list[object]:
        """The counts that were told last, or why there is none."""
        return [each.reason if isinstance(each, StoreError) else each.count for each in self.told[-1]]


@pytest_asyncio.fixture
async def nodes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Nodes]:
    """Both are connected."""
    nodes = Nodes(monkeypatch)
    nodes.connect(A, B)
    yield nodes
    await nodes.cluster.close()


def error(text: str) -> hiredis.ReplyError:
    """A refusal."""
    return hiredis.ReplyError(text)


def pipeline_of(nodes: Nodes, address: Address) -> Any:
    """What is sent to a node."""
    return nodes.cluster._nodes[address].pipeline


async def test_each_node_gets_its_keys(nodes: Nodes) -> None:
    """And the results are in the order of the batch; a node that is away costs its own keys."""
    nodes.count(hit(AT_A), hit(AT_B), hit(KEY_1))
    pipeline_of(nodes, B).answer([[7]])
    pipeline_of(nodes, A).answer([[1, 2]])
    assert nodes.short == [1, 7, 2]
    nodes.lose(A)
    nodes.count(hit(AT_A), hit(AT_B))
    pipeline_of(nodes, B).answer([[8]])
    assert nodes.short == ["the store is away", 8]
    assert (nodes.stats.batches, nodes.stats.errors) == (3, 1)


async def test_moved_is_followed_and_remembered(nodes: Nodes) -> None:
    """The call goes to the node that was named, and so does what comes later; the map is asked for."""
    nodes.count(hit(KEY_1))
    pipeline_of(nodes, A).answer([error(f"MOVED {slot_of(KEY_1)} b:2")])
    pipeline_of(nodes, B).answer([4])
    assert nodes.short == [4]
    nodes.count(hit(KEY_2))
    pipeline_of(nodes, B).answer([[1]])
    assert (nodes.short, nodes.stats.redirected, nodes.cluster._map._old.is_set()) == ([1], 1, True)


async def test_ask_is_followed_for_once(nodes: Nodes) -> None:
    """A node that is none of the masters is connected to first, and kept while redirections name it."""
    for expected in (1, 2):
        nodes.count(hit(KEY_1))
        pipeline_of(nodes, A).answer([error(f"ASK {slot_of(KEY_1)} c:3")])
        target = pipeline_of(nodes, C) or nodes.connect(C)
        assert target.answer(b"OK") == (b"ASKING",)
        target.answer([expected])
        assert nodes.short == [expected]
        nodes.use(A, B)
    nodes.cluster._nodes[C].named_at -= LINGER_S
    nodes.use(A, B)
    assert nodes.cluster._nodes.keys() == {A, B}


@pytest.mark.parametrize("told", ["MOVED 1 nowhere", "MOVED 1 new:9"])
async def test_what_names_no_node_fails(nodes: Nodes, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An odd redirection, or one node more than anybody has."""
    monkeypatch.setattr(cluster_module, "SERVERS_MAX", 2)
    nodes.count(hit(KEY_1))
    pipeline_of(nodes, A).answer([error(told)])
    assert nodes.short == ["the store refused: MOVED"]


async def test_what_is_no_redirection_is_the_answer(nodes: Nodes) -> None:
    """As with one server."""
    nodes.count(hit(KEY_1))
    pipeline_of(nodes, A).answer([error("NOPERM this user has no permissions")])
    assert nodes.short == ["the store refused: NOPERM"]


async def test_the_breaker_of_a_node_that_leaves_is_forgotten(nodes: Nodes) -> None:
    """It is nobody's any more, and its probes end with it."""
    node = nodes.cluster._nodes[A]
    node._live = node.pipeline
    for _ in range(5):
        node._note_trouble("no answer in time")
    assert (nodes.stats.breaker_open, node.pipeline) == (1, None)
    node._live = None
    nodes.use(B)
    node.named_at -= LINGER_S
    nodes.use(B)
    while nodes.cluster._tasks:  # noqa: ASYNC110 - bounded by the deadline of a batch
        await asyncio.sleep(0.001)
    assert (nodes.stats.breaker_open, nodes.stats.breaker_opened) == (0, 1)


async def test_the_breaker_counts_batches(nodes: Nodes) -> None:
    """One that is late has many commands late, and is one failure; part of it may have been answered."""
    node, late = nodes.cluster._nodes[A], StoreError(LATE, outcome_unknown=True)
    slots = [AT_A, b"{rl:1}", b"{rl:20}"]
    for replies in ([[1], late, late], [[1], late, late], [[1], [1], [1]]):
        nodes.count(*(hit(name) for name in slots))
        pipeline_of(nodes, A).answer(replies)
    assert bin(node._breaker.recent) == "0b110"
    assert nodes.stats.unknown_outcomes == 4


async def test_nodes_that_name_each_other_are_not_asked_for_ever(nodes: Nodes) -> None:
    """A command goes out SENDS_MAX times, and never after its deadline, nor to a node that takes no more."""
    nodes.count(hit(KEY_1))
    pipeline_of(nodes, A).answer([error("MOVED 3300 b:2")])
    for address, other in [(B, "a:1"), (A, "b:2"), (B, "a:1")]:
        pipeline_of(nodes, address).answer(error(f"MOVED 3300 {other}"))
    assert nodes.short == ["the store refused: MOVED"]
    nodes.count(hit(KEY_1), deadline_s=-1)
    pipeline_of(nodes, A).answer([error("MOVED 3300 b:2")])
    nodes.use(A, B)
    nodes.count(hit(KEY_1))
    pipeline_of(nodes, B).writable = False
    pipeline_of(nodes, A).answer([error("MOVED 3300 b:2")])
    assert [len(each) for each in nodes.told] == [1, 1, 1]
    assert nodes.short == ["the store refused: MOVED"]


async def test_keys_of_a_slot_that_moves_go_one_by_one(nodes: Nodes) -> None:
    """TRYAGAIN means that only some of them are there; each by itself is served, here or where it went."""
    nodes.count(hit(KEY_1), hit(KEY_2), hit(KEY_1))
    pipeline_of(nodes, A).answer([error("TRYAGAIN Multiple keys request during rehashing of slot")])
    pipeline_of(nodes, A).answer([1, 2])
    pipeline_of(nodes, A).answer(error("ASK 3300 b:2"))
    pipeline_of(nodes, B).answer(b"OK")
    pipeline_of(nodes, B).answer([5])
    assert nodes.short == [1, 5, 2]


@pytest.mark.parametrize("told", ["CLUSTERDOWN The cluster is down", "LOADING", "TRYAGAIN"])
async def test_what_may_be_over_soon_is_waited_for_once(nodes: Nodes, told: str) -> None:
    """For half of the time that is left; the second time it is the answer. A group is not taken apart."""
    nodes.count(hit(KEY_1, group=1), hit(KEY_2, group=1))
    pipeline = pipeline_of(nodes, A)
    pipeline.answer([error(told)])
    nodes.wait_halfway()
    pipeline.answer(error(told))
    assert nodes.short == [f"the store refused: {told.partition(' ')[0]}"] * 2


async def test_what_was_waited_for_may_have_gone(nodes: Nodes) -> None:
    """A node that was lost meanwhile takes nothing, and the end takes nothing with it."""
    nodes.count(hit(KEY_1))
    pipeline_of(nodes, A).answer([error("LOADING")])
    nodes.lose(A)
    nodes.wait_halfway()
    nodes.connect(A)
    nodes.count(hit(KEY_1))
    pipeline_of(nodes, A).answer([error("LOADING")])
    await nodes.cluster.close()
    assert [len(each) for each in nodes.told] == [1, 1]
    assert nodes.short == ["the store refused: LOADING"]


async def test_a_stage_is_not_begun_after_the_deadline(nodes: Nodes) -> None:
    """What is left of a batch with groups across slots was not sent, and says so."""
    nodes.count(hit(AT_A, group=1), hit(AT_B, group=1), deadline_s=-1)
    while not nodes.told:  # noqa: ASYNC110 - the next turns of the loop
        await asyncio.sleep(0)
    assert nodes.short == ["the store did not answer in time (REDIS_TIMEOUT)"] * 2
    assert pipeline_of(nodes, A).sent == []


async def test_a_fault_in_a_stage_leaves_nobody_waiting(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was: the hits may have been counted, and the log says why."""
    monkeypatch.setattr(cluster_module, "charge_crossing", lambda *_: 1 / 0)
    nodes.count(hit(AT_A, group=1), hit(AT_B, group=1))
    with structlog.testing.capture_logs() as logs:
        while not nodes.told:  # noqa: ASYNC110 - the next turns of the loop
            await asyncio.sleep(0)
    assert nodes.short == ["the store failed: ZeroDivisionError"] * 2
    assert [each["log_level"] for each in logs] == ["error"]


async def test_slots_that_nobody_has_fail(nodes: Nodes) -> None:
    """And the map is asked for."""
    nodes.cluster._use([SlotRange(0, 1, A)])
    nodes.count(hit(KEY_1))
    assert nodes.short == ["no node of the Cluster has the slot"]


async def test_calls_wait_for_a_node_that_is_new(nodes: Nodes) -> None:
    """It may have to be connected to first; later it fails at once, like any that is away."""
    nodes.use(C)
    nodes.count(hit(KEY_1))
    assert nodes.told == []
    nodes.connect(C).answer([3])
    assert nodes.short == [3]
    nodes.lose(C)
    nodes.count(hit(KEY_1))
    assert nodes.short == ["the store is away"]
    assert nodes.states == [True, False, True, False]


async def test_it_is_ready_without_a_master_that_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start only after some patience, later at once; and not ready without any."""
    monkeypatch.setattr(cluster_module, "PATIENCE_S", 0.01)
    nodes = Nodes(monkeypatch)
    nodes.connect(A)
    assert nodes.states == []
    while not nodes.states:  # noqa: ASYNC110 - bounded by the patience
        await asyncio.sleep(0.001)
    nodes.lose(A)
    nodes.connect(B)
    assert nodes.states == [True, False, True]
    assert nodes.cluster._counting() == [nodes.cluster._nodes[B].dial]
    await nodes.cluster.close()


async def test_a_probe_has_a_key_of_the_node(nodes: Nodes) -> None:
    """Found anew with each map; a node that redirects it is there."""
    for address in (A, B):
        node = nodes.cluster._nodes[address]
        command = node._options.probe_command()
        assert command == node._options.probe_command()
        assert nodes.cluster._owners[slot_of(command[3])] is node
        assert node._trouble(error("MOVED 1 b:2")) is None
        assert node._trouble(error("CLUSTERDOWN")) is not None


async def test_one_clock_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the owner of slot 0, while it is there or may still come."""
    clock = FollowingClock(SteppedClock(0), lambda: 0.0)
    nodes = Nodes(monkeypatch, clock=clock)
    a, b = (nodes.cluster._nodes[address]._options.clock for address in (A, B))
    assert a is not None
    assert b is not None
    b.hear(200, 0, 0)
    nodes.connect(A, B)
    a.hear(100, 0, 0)
    b.hear(200, 0, 0)
    assert clock.now() == 100
    nodes.lose(A)
    b.hear(200, 0, 0)
    assert clock.now() == 200
    nodes.connect(A)
    nodes.lose(B)
    b.hear(300, 0, 0)
    assert clock.now() == 200
    nodes.lose(A)
    a.hear(101, 0, 0)
    assert clock.now() == 101
    await nodes.cluster.close()


async def test_what_the_first_address_brings_is_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and TLS of a URL, where the settings say nothing else."""
    nodes = Nodes(monkeypatch, redis_url="rediss://u:pw@a:1,b:2")
    target = nodes.cluster._nodes[B].dial.target
    assert (target.shown, target.username, target.password, target.tls) == ("b:2", "u", "pw", True)
    assert (await nodes.cluster._nodes[B]._resolve()).target == target
    await nodes.cluster.close()


async def test_it_gives_up_when_told_to(valkey_port: int) -> None:
    """The last node's reason is told: here it is a server that knows no Cluster."""
    url = f"{LOOPBACK}:{free_port()},{LOOPBACK}:{valkey_port}"
    settings: dict[str, Any] = {"redis_startup_initial_interval": 0.01, "redis_startup_max_elapsed_time": 0.5}
    held = Store(0, redis_type="CLUSTER", redis_url=url, **settings)
    await held.store.start()
    with pytest.raises(StoreError, match=r"REDIS_URL: cannot connect: node 127.0.0.1:\d+: "):
        await asyncio.wait_for(held.store.gave_up, 30)
    assert not held.store.connected
    await held.store.close()


async def test_it_gives_up_without_a_master_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The map alone is not enough: each master's reason is told; one that counted is."""
    nodes = Nodes(monkeypatch)
    nodes.cluster._map.reason = ""
    nodes.cluster._give_up()
    with pytest.raises(StoreError, match="cannot connect: a:1: not connected yet; b:2: not connected yet"):
        await nodes.cluster.gave_up
    nodes.connect(A, B)
    nodes.cluster._give_up()
    await nodes.cluster.close()


async def test_a_key_has_a_node(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its slot; whoever finds that wrong has the map asked for again."""
    assert nodes.cluster.node_of(AT_A) is nodes.cluster._nodes[A]
    assert nodes.cluster.node_of(AT_B) is nodes.cluster._nodes[B]
    asked: list[bool] = []
    monkeypatch.setattr(nodes.cluster._map, "note_old", lambda: asked.append(True))
    nodes.cluster.note_old()
    assert asked == [True]
