"""A Redis Cluster: the masters, the map from slot to master, and each command's way to the node that has its slot.

The map is asked for at the start, and again whenever something shows that it is old: a redirection, a slot that nobody
serves, a node that is lost; and for as long as a node is away. Between that, MOVED corrects the slot that it names.

A node that is away costs the keys of its slots and no others. What a node answers instead of counting shows that the
command did not run, so it is sent again, a bounded number of times and within its deadline: see `slot_call`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import structlog

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import Batch, Hit, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings.redis_place import SERVERS_MAX, Backoff, RedisPlace, with_login
from ratelimit.settings.redis_url import RedisTarget
from ratelimit.stores.redis.cluster_clock import ClusterClock
from ratelimit.stores.redis.cluster_map import STEP_TIMEOUT_S, ClusterMap
from ratelimit.stores.redis.commands import are_plain, refusal
from ratelimit.stores.redis.connect import Dial
from ratelimit.stores.redis.cross_slot import Stage, charge_crossing, stages_of
from ratelimit.stores.redis.node import RECONNECT_INITIAL_S, RECONNECT_MAX_S, NodeOptions, RedisNode
from ratelimit.stores.redis.slot_call import Burst, Gathering, Piece, SlotCall, pieces_of
from ratelimit.stores.redis.slots import SLOTS, Address, SlotRange, probe_name, redirect_of, slot_of
from ratelimit.stores.refusals import LATE

# At first it is ready when all masters are, or so long after the first: one that is dead must not hold up a start.
# As long, calls wait for a node that was just heard of; later they fail at once.
PATIENCE_S = 1.0
# A node that only redirections name is kept for so long after the last one.
LINGER_S = 30.0
# What a node says to a probe on a slot that it does not own, or that moves: it is there, and the map is old.
ALIVE = ("MOVED", "ASK", "TRYAGAIN")

_log = structlog.get_logger(__name__)


class Member(RedisNode):
    """A master of the Cluster, or what a redirection names as one; `told` is called when it comes or goes."""

    def __init__(
        self, address: Address, dial: Dial, options: NodeOptions, stats: StoreStats, told: Callable[[], None]
    ) -> None:
        async def resolve() -> Dial:
            return dial

        def changed(ready: bool) -> None:  # noqa: FBT001 - a store's listener
            self.ever |= ready
            told()

        super().__init__(resolve, options, stats, changed)
        self.address = address
        self.dial = dial
        self.ever = False
        self.named_at = self.known_at = asyncio.get_running_loop().time()

    @property
    def is_fresh(self) -> bool:
        """Whether it may still be connecting for the first time."""
        return not self.ever and asyncio.get_running_loop().time() < self.known_at + PATIENCE_S


class Cluster:
    """A `Topology` of many nodes."""

    def __init__(
        self, place: RedisPlace, options: NodeOptions, stats: StoreStats, on_state: Callable[[bool], None]
    ) -> None:
        self._place = place
        # What is not set for all nodes is what the first address of the list brings.
        self._login = with_login(place.login, place.servers[0])
        self._options = replace(
            options, startup=Backoff(RECONNECT_INITIAL_S, RECONNECT_MAX_S), alive=ALIVE, paced=False
        )
        self._stats = stats
        self._on_state = on_state
        self._nodes: dict[Address, Member] = {}
        self._masters: list[Member] = []
        self._owners: list[Member | None] = [None] * SLOTS
        self._probe_names: dict[Address, bytes] = {}
        self._map = ClusterMap(place, self._counting, self._use)
        self._clock = None if options.clock is None else ClusterClock(options.clock, self._clock_node, self._counts)
        self._closing = asyncio.Event()
        self.connected = False
        self._ever = self._patient = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._held_back: dict[SlotCall, tuple[Results, asyncio.TimerHandle]] = {}
        self._loop = asyncio.get_running_loop()
        self.gave_up: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Ask for the map in the background, and connect to every master."""
        if self._place.startup.elapsed_max_s > 0:
            self._wake("give up", self._place.startup.elapsed_max_s, self._give_up)
        self._map.start()

    async def close(self) -> None:
        """Close; what waits is failed."""
        self._closing.set()
        for timer in self._timers.values():
            timer.cancel()
        await self._map.close()
        for call in list(self._held_back):
            call.finish(self._let_go(call))
        await asyncio.gather(*(node.close() for node in self._nodes.values()))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        """Count a batch; see `CounterStore`."""
        plain = are_plain(batch.hits)
        stages = None if plain else stages_of(batch.hits)
        if stages is None:
            self._count(batch, done, plain=plain)
        else:
            self._keep(asyncio.create_task(self._count_in_stages(batch, stages, done)))

    async def _count_in_stages(self, batch: Batch, stages: Sequence[Stage], done: Callable[[Results], None]) -> None:
        async def count(hits: Sequence[Hit]) -> Results:
            counted: asyncio.Future[Results] = self._loop.create_future()
            self._count(Batch(hits, batch.now, batch.deadline), counted.set_result, plain=False)
            return await counted

        def in_time() -> bool:
            return self._loop.time() < batch.deadline

        results: list[Counted | StoreError] = [StoreError(LATE)] * len(batch.hits)
        try:
            for crosses, places in stages:
                if not in_time():
                    break
                hits = [batch.hits[place] for place in places]
                counted = await charge_crossing(hits, batch.now, count, in_time) if crosses else await count(hits)
                for place, result in zip(places, counted, strict=True):
                    results[place] = result
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave callers waiting
            _log.exception("groups across slots were not counted")
            results = [StoreError(f"the store failed: {type(error).__name__}", outcome_unknown=True)] * len(results)
        done(results)

    def _count(self, batch: Batch, done: Callable[[Results], None], *, plain: bool) -> None:
        """Count a batch in which no group crosses slots."""
        gathering, owners = Gathering(batch, done), self._owners
        pieces_at: dict[Member | None, list[Piece]] = {}
        for piece in pieces_of(batch.hits, plain=plain):
            node = owners[piece[0]]
            known = pieces_at.get(node)
            if known is None:
                pieces_at[node] = [piece]
            else:
                known.append(piece)
        for node, pieces in pieces_at.items():
            pipeline = None if node is None else node.pipeline
            if node is not None and pipeline is not None and pipeline.writable:
                self._stats.batches += len(pieces)
                Burst(self, gathering, node, pipeline, pieces).send()
            else:
                self._refuse(node, gathering, pieces)

    def node_of(self, name: bytes) -> Member | None:
        """The master that has the slot of a key."""
        return self._owners[slot_of(name)]

    def note_old(self) -> None:
        """Ask for the map again."""
        self._map.note_old()

    def redirect(self, call: SlotCall, error: str) -> bool:
        """Send a call again that a node refused so; False where it must not, or where that would not help."""
        match error.partition(" ")[0]:
            case "MOVED" | "ASK":
                self._stats.redirected += 1
                return self._redirected(call, error)
            case "TRYAGAIN":
                return self._tried_in_pieces(call) or self._hold_back(call, error)
            case "CLUSTERDOWN" | "LOADING":
                self._map.note_old()
                return self._hold_back(call, error)
        return False

    def _refuse(self, node: Member | None, gathering: Gathering, pieces: Sequence[Piece]) -> None:
        """Fail what nobody can count now, or keep it for a node that is connecting for the first time."""
        error = StoreError("no node of the Cluster has the slot") if node is None else node.refused()
        self._map.note_old()
        for piece in pieces:
            _, _, hits, places = piece
            results = [error] * len(hits)
            if node is None or not node.is_fresh or not node.keep(SlotCall(self, gathering, piece, node), results):
                self._stats.errors += 1
                gathering.put(places, results)

    def _redirected(self, call: SlotCall, error: str) -> bool:
        told = redirect_of(error, call.node.address[0])
        if told is None or (told.address not in self._nodes and len(self._nodes) >= SERVERS_MAX):
            return False
        node = self._node_at(told.address)
        node.named_at = self._loop.time()
        if not told.asking:
            self._owners[told.slot] = node
            self._map.note_old()
        pipeline = node.pipeline
        if not self._may_go_again(call) or (pipeline is not None and not pipeline.writable):
            return False
        call.node, call.asking = node, told.asking
        if pipeline is None:
            return node.keep(call, _refused(call, error))
        call.send_again(node, pipeline)
        return True

    def _tried_in_pieces(self, call: SlotCall) -> bool:
        """While its slot moves, a command of several keys is served nowhere if only some of them have moved."""
        pieces = call.split()
        if len(pieces) == 1 or not self._may_go_again(call) or not call.pipeline.writable:
            return False
        for piece in pieces:
            piece.send_again(call.node, call.pipeline)
        return True

    def _hold_back(self, call: SlotCall, error: str) -> bool:
        """Try once more when half of the time that is left has passed: it may be over then."""
        if call.waited or not self._may_go_again(call):
            return False
        call.waited = True
        halfway = (self._loop.time() + call.batch.deadline) / 2
        self._held_back[call] = (_refused(call, error), self._loop.call_at(halfway, self._release, call))
        return True

    def _let_go(self, call: SlotCall) -> Results:
        results, timer = self._held_back.pop(call)
        timer.cancel()
        return results

    def _release(self, call: SlotCall) -> None:
        results = self._let_go(call)
        node = self._owners[call.slot]
        pipeline = None if node is None else node.pipeline
        if node is None or pipeline is None or not pipeline.writable:
            self._stats.errors += 1
            call.finish(results)
            return
        call.node, call.asking = node, False
        call.send_again(node, pipeline)

    def _may_go_again(self, call: SlotCall) -> bool:
        return call.tries < call.tries_max and self._loop.time() < call.batch.deadline

    def _use(self, ranges: Sequence[SlotRange]) -> None:
        """Take a map in: connect to new masters, and leave nodes that are none any more."""
        members = {each.master: self._node_at(each.master) for each in ranges}
        owners: list[Member | None] = [None] * SLOTS
        for each in ranges:
            owners[each.first : each.last + 1] = [members[each.master]] * (each.last + 1 - each.first)
        if members.keys() != {node.address for node in self._masters}:
            shown = sorted(node.dial.target.shown for node in members.values())
            _log.warning("the Cluster's masters changed" if self._masters else "the Cluster's masters", masters=shown)
        self._owners, self._masters = owners, list(members.values())
        self._probe_names.clear()
        others = [node for address, node in self._nodes.items() if address not in members]
        for node in others:
            if node.named_at <= self._loop.time() - LINGER_S:
                self._leave(node)
            else:
                self._wake("linger", LINGER_S, self._map.note_old)
        self._look()

    def _node_at(self, address: Address) -> Member:
        node = self._nodes.get(address)
        if node is None:
            target = with_login(RedisTarget(*address), self._login)
            clock = None if self._clock is None else self._clock.of(address)
            options = replace(self._options, clock=clock, probe_name=partial(self._probe_name, address))
            dial = Dial(target, self._place.tls, STEP_TIMEOUT_S)
            node = self._nodes[address] = Member(address, dial, options, self._stats, self._look)
            node.start()
        return node

    def _leave(self, node: Member) -> None:
        """Close a node that has no slots any more, when what was sent to it is answered."""

        async def leave() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._options.timeout_s):
                    await self._closing.wait()
            await node.close()

        del self._nodes[node.address]
        self._keep(asyncio.create_task(leave()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _look(self) -> None:
        """See which masters count now, and tell if that makes a difference."""
        counting = [node for node in self._masters if node.pipeline is not None]
        whole = len(counting) == len(self._masters)
        if not whole:
            self._map.note_old()
        ready = bool(counting) and (whole or self._ever or self._patient)
        if counting and not ready:
            self._wake("patience", PATIENCE_S, self._lose_patience)
        if ready != self.connected:
            self.connected = ready
            self._ever |= ready
            self._on_state(ready)

    def _lose_patience(self) -> None:
        self._patient = True
        self._look()

    def _give_up(self) -> None:
        if not self._ever:
            reason = self._map.reason or "; ".join(f"{node.dial.target.shown}: {node.reason}" for node in self._masters)
            reason = f"{self._place.variable}: cannot connect: {reason}"
            self.gave_up.set_exception(StoreError(reason, transient=False))

    def _wake(self, name: str, after_s: float, what: Callable[[], None]) -> None:
        """Call `what` once, later; until then, `name` is called no second time."""

        def call() -> None:
            del self._timers[name]
            what()

        if name not in self._timers:
            self._timers[name] = self._loop.call_later(after_s, call)

    def _counting(self) -> list[Dial]:
        return [node.dial for node in self._masters if node.pipeline is not None]

    def _probe_name(self, address: Address) -> bytes:
        """A key that the node has, as far as the map says."""
        if address not in self._probe_names:
            node = self._nodes[address]
            # One without slots answers MOVED, whatever it is asked.
            owned = {slot for slot, owner in enumerate(self._owners) if owner is node}
            self._probe_names[address] = probe_name(self._options.prefix, owned)
        return self._probe_names[address]

    def _clock_node(self) -> Address | None:
        """The node whose clock is followed, None while it is away."""
        first = self._owners[0]
        return first.address if first is not None and (first.pipeline is not None or first.is_fresh) else None

    def _counts(self, address: Address) -> bool:
        node = self._nodes.get(address)
        return node is not None and node.pipeline is not None


def _refused(call: SlotCall, error: str) -> Results:
    return [refusal(Exception(error))] * len(call.hits)
