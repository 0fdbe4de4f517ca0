"""A batch in a Cluster: cut into a script call per slot, and what becomes of each.

The calls of a node go out at once, as a `Burst`, and its replies come back together: a tick may have a hundred of them,
so a call is an object of its own only where its reply is unusual.

A node may answer that the slot is elsewhere, or that it cannot serve it now: such a command did not run, so it may be
sent again, to the node that was named or in pieces, SENDS_MAX times in all and within the deadline of its batch.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import hiredis

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import UNGROUPED, Batch, Hit, Results
from ratelimit.stores.redis.call import ScriptCall, Settles
from ratelimit.stores.redis.commands import (
    ADD_HITS,
    HITS_PER_COMMAND_MAX,
    Script,
    commands_of,
    packed,
    result_of,
    results_of,
)
from ratelimit.stores.redis.pipeline import RedisPipeline
from ratelimit.stores.redis.slots import Address, slot_of

# The longest way of a command whose slot moves: MOVED, ASK, TRYAGAIN, and key by key.
SENDS_MAX = 4
# What a script says of hits of fixed windows that it could count.
_COUNTS = {int}
_ALL_COUNTED = {Counted}

Piece = tuple[int, Script, Sequence[Hit], Sequence[int]]
"""A slot, the script for hits on its keys, these hits, and their places in the batch."""


class Redirects(Protocol):
    """Who knows the nodes. True where the call was sent again, or will be."""

    def redirect(self, call: "SlotCall", error: str) -> bool: ...


class Owner(Settles, Protocol):
    """The node that a call is sent to; see `RedisNode`."""

    @property
    def address(self) -> Address: ...

    @property
    def calm(self) -> bool: ...


class Gathering:
    """The results of a batch, each put in its place; `done` gets them when the last is there."""

    __slots__ = ("_done", "_missing", "batch", "results")

    def __init__(self, batch: Batch, done: Callable[[Results], None]) -> None:
        self.batch = batch
        self.results: list[Any] = [None] * len(batch.hits)
        self._missing = len(batch.hits)
        self._done = done

    def put(self, places: Sequence[int], results: Results) -> None:
        """Take the results of some hits in."""
        held = self.results
        for place, result in zip(places, results, strict=True):
            held[place] = result
        self.came(len(places))

    def came(self, number: int) -> None:
        """So many more results are in their places."""
        self._missing -= number
        if self._missing == 0:
            self._done(self.results)


def pieces_of(hits: Sequence[Hit], *, plain: bool) -> list[Piece]:
    """The calls for a batch: hits of a slot together and in their order. A group must be of one slot.

    `plain` says that all hits are, see `are_plain`.
    """
    places_of: dict[int, list[int]] = {}
    for place, hit in enumerate(hits):
        slot = slot_of(hit.key.name)
        known = places_of.get(slot)
        if known is None:
            places_of[slot] = [place]
        else:
            known.append(place)
    if plain and len(hits) <= HITS_PER_COMMAND_MAX:
        return [(slot, ADD_HITS, [hits[place] for place in places], places) for slot, places in places_of.items()]
    pieces: list[Piece] = []
    for slot, places in places_of.items():
        at = 0
        for script, members in commands_of([hits[place] for place in places]):
            pieces.append((slot, script, members, places[at : at + len(members)]))
            at += len(members)
    return pieces


class Burst:
    """The calls for one node of one batch, on its way."""

    __slots__ = ("_gathering", "_node", "_pieces", "_pipeline", "_redirects")

    def __init__(
        self,
        redirects: Redirects,
        gathering: Gathering,
        node: Owner,
        pipeline: RedisPipeline,
        pieces: Sequence[Piece],
    ) -> None:
        self._redirects = redirects
        self._gathering = gathering
        self._node = node
        self._pipeline = pipeline
        self._pieces = pieces

    def send(self) -> None:
        """Write all of it at once."""
        commands = b"".join([packed(script, hits) for _, script, hits, _ in self._pieces])
        self._pipeline.send_many(commands, len(self._pieces), self._gathering.batch.deadline, self._replied)

    def _replied(self, replies: list[Any]) -> None:
        """Take the replies in."""
        gathering, calm = self._gathering, self._node.calm
        results, now = gathering.results, gathering.batch.now
        came = 0
        unusual = []
        for piece, reply in zip(self._pieces, replies, strict=True):
            _, _, hits, places = piece
            if calm and reply.__class__ is list and len(reply) == len(hits) and set(map(type, reply)) == _COUNTS:
                for place, hit, count in zip(places, hits, reply, strict=True):
                    results[place] = result_of(count, hit, now)
                came += len(places)
            elif calm and set(map(type, found := results_of(reply, hits, now))) == _ALL_COUNTED:
                for place, result in zip(places, found, strict=True):
                    results[place] = result
                came += len(places)
            else:
                unusual.append((piece, reply))
        # What failed first: the node judges a batch by the first that it hears of.
        unusual.sort(key=lambda each: not isinstance(each[1], StoreError))
        for piece, reply in unusual:
            SlotCall(self._redirects, gathering, piece, self._node, self._pipeline).replied(reply)
        if came:
            gathering.came(came)


class SlotCall(ScriptCall):
    """A call by itself, made for `node` and still to be sent, or to be told the reply of the burst that it was in.

    `asking`: the slot is on its way to the node, which serves it only to who asks so. `waited`: it was held back once.
    """

    __slots__ = ("_gathering", "_piece", "_redirects", "asking", "node", "waited")
    tries_max = SENDS_MAX

    def __init__(
        self,
        redirects: Redirects,
        gathering: Gathering,
        piece: Piece,
        node: Owner,
        pipeline: RedisPipeline | None = None,
    ) -> None:
        _, script, hits, places = piece
        done = partial(gathering.put, places)
        # Without a connection now it gets one when it is sent.
        super().__init__(node, pipeline, (script, hits), gathering.batch, done)  # type: ignore[arg-type]
        self._redirects = redirects
        self._gathering = gathering
        self._piece = piece
        self.node = node
        self.asking = self.waited = False

    @property
    def slot(self) -> int:
        """The slot of its keys."""
        return self._piece[0]

    def split(self) -> list["SlotCall"]:
        """The same call in the smallest pieces, the hits of a key or of a group: each can be sent again by itself."""
        slot, script, hits, places = self._piece
        parts: dict[bytes | int, list[int]] = {}
        for index, hit in enumerate(hits):
            parts.setdefault(hit.key.name if hit.group == UNGROUPED else hit.group, []).append(index)
        calls = []
        for part in parts.values():
            piece = (slot, script, [hits[index] for index in part], [places[index] for index in part])
            call = SlotCall(self._redirects, self._gathering, piece, self.node, self.pipeline)
            call.asking, call.tries = self.asking, self.tries
            calls.append(call)
        return calls

    def _write(self, command: tuple[Any, ...], reply: Callable[[Any], None]) -> None:
        if self.asking:
            self.pipeline.send((b"ASKING",), self.batch.deadline, _ignore)
        super()._write(command, reply)

    def _answered(self, reply: Any) -> None:
        if not (isinstance(reply, hiredis.ReplyError) and self._redirects.redirect(self, str(reply))):
            super()._answered(reply)


def _ignore(_: Any) -> None:
    """What ASKING is answered says nothing: whether it was heard shows in what follows it."""
