"""One script call on the keys of one slot of a Cluster, and the batch that it is a part of.

A node may answer that the slot is elsewhere, or that it cannot serve it now: such a command did not run, so it may be
sent again, to the node that was named or in pieces, SENDS_MAX times in all and within the deadline of its batch.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import hiredis

from ratelimit.limiter.counter_store import UNGROUPED, Batch, Hit, Results
from ratelimit.stores.redis.call import ScriptCall, Settles
from ratelimit.stores.redis.commands import ADD_HITS, HITS_PER_COMMAND_MAX, Script, commands_of
from ratelimit.stores.redis.pipeline import RedisPipeline, Reply
from ratelimit.stores.redis.slots import Address, slot_of

# The longest way of a command whose slot moves: MOVED, ASK, TRYAGAIN, and key by key.
SENDS_MAX = 4


class Redirects(Protocol):
    """Who knows the nodes. True where the call was sent again, or will be."""

    def redirect(self, call: "SlotCall", error: str) -> bool: ...


class Owner(Settles, Protocol):
    """The node that a call is sent to."""

    @property
    def address(self) -> Address: ...


class Gathering:
    """The results of a batch, each put in its place; `done` gets them when the last is there."""

    __slots__ = ("_done", "_missing", "_results", "batch")

    def __init__(self, batch: Batch, done: Callable[[Results], None]) -> None:
        self.batch = batch
        self._results: list[Any] = [None] * len(batch.hits)
        self._missing = len(batch.hits)
        self._done = done

    def put(self, places: Sequence[int], results: Results) -> None:
        """Take the results of some hits in."""
        held = self._results
        for place, result in zip(places, results, strict=True):
            held[place] = result
        self._missing -= len(places)
        if self._missing == 0:
            self._done(held)


class SlotCall(ScriptCall):
    """`places` are those of its hits in the batch.

    `asking`: the slot is on its way to this node, which serves it only to who asks so. `waited`: it was held back once.
    """

    __slots__ = ("_gathering", "_places", "_redirects", "_whole", "asking", "node", "slot", "waited")
    tries_max = SENDS_MAX
    node: Owner

    def __init__(
        self,
        redirects: Redirects,
        gathering: Gathering,
        slot: int,
        what: tuple[Script, Sequence[Hit]],
        places: Sequence[int],
    ) -> None:
        # Not by way of the parent's: in a Cluster a tick may have a hundred of these.
        self._redirects = redirects
        self._gathering = gathering
        self.batch = gathering.batch
        self.slot = slot
        self._script, self.hits = what
        self._places = places
        self.tries = 1
        self.asking = self.waited = self._whole = False

    def send(self) -> None:
        """Call the script on the node's connection."""
        self.pipeline.send_all(self.commands(), self.batch.deadline)

    def send_again(self, sender: Settles, pipeline: RedisPipeline) -> None:  # noqa: ARG002 - the node is known here
        """Send it once more, after an answer that shows that it did not run."""
        self.pipeline = pipeline
        self.tries += 1
        self._whole = False
        self.send()

    def finish(self, results: Results) -> None:
        """Tell the results of a call that is not sent."""
        self._gathering.put(self._places, results)

    def commands(self) -> list[tuple[tuple[Any, ...], Reply]]:
        """What goes out: the script by its name, or by its text where the node did not know the name."""
        script = self._script
        name = (b"EVAL", script.text) if self._whole else (b"EVALSHA", script.sha)
        command = ((*name, *script.arguments(self.hits)), self.replied)
        return [((b"ASKING",), _ignore), command] if self.asking else [command]

    def replied(self, reply: Any) -> None:
        """Take the reply in."""
        if isinstance(reply, hiredis.ReplyError):
            error = str(reply)
            if error.startswith("NOSCRIPT") and not self._whole and self.pipeline.writable:
                self._whole = True
                self.send()
                return
            if self._redirects.redirect(self, error):
                return
        results = self.node.settle(self, reply)
        if results is not None:
            self._gathering.put(self._places, results)

    def split(self) -> list["SlotCall"]:
        """The same call in the smallest pieces: the hits of a key, or of a group. Each is its own second try."""
        pieces: dict[bytes | int, list[int]] = {}
        for index, hit in enumerate(self.hits):
            pieces.setdefault(hit.key.name if hit.group == UNGROUPED else hit.group, []).append(index)
        calls = []
        for indices in pieces.values():
            what = (self._script, [self.hits[index] for index in indices])
            places = [self._places[index] for index in indices]
            call = SlotCall(self._redirects, self._gathering, self.slot, what, places)
            call.node, call.asking, call.tries = self.node, self.asking, self.tries
            calls.append(call)
        return calls


def calls_of(redirects: Redirects, gathering: Gathering, *, plain: bool) -> list[SlotCall]:
    """The calls for a batch: hits of a slot together and in their order. A group must be of one slot.

    `plain` says that all hits are, see `are_plain`.
    """
    hits = gathering.batch.hits
    places_of: dict[int, list[int]] = {}
    for place, hit in enumerate(hits):
        slot = slot_of(hit.key.name)
        known = places_of.get(slot)
        if known is None:
            places_of[slot] = [place]
        else:
            known.append(place)
    plain = plain and len(hits) <= HITS_PER_COMMAND_MAX
    calls = []
    for slot, places in places_of.items():
        mine = [hits[place] for place in places]
        if plain:
            calls.append(SlotCall(redirects, gathering, slot, (ADD_HITS, mine), places))
            continue
        at = 0
        for what in commands_of(mine):
            size = len(what[1])
            calls.append(SlotCall(redirects, gathering, slot, what, places[at : at + size]))
            at += size
    return calls


def _ignore(_: Any) -> None:
    """What ASKING is answered says nothing: whether it was heard shows in what follows it."""
