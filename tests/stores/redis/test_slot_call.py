from collections.abc import Sequence
from typing import Any

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import GCRA
from ratelimit.limiter.counter_store import Batch, Hit, Results
from ratelimit.stores.redis.call import ScriptCall
from ratelimit.stores.redis.commands import ADD_HITS, CHARGE_GROUPS, HITS_PER_COMMAND_MAX, are_plain, results_of
from ratelimit.stores.redis.slot_call import Burst, Gathering, Piece, SlotCall, pieces_of
from ratelimit.stores.redis.slots import slot_of
from tests.limiter.plans import NOW, hit, moment
from tests.stores.redis.fakes import FakePipeline

NAMES = st.sampled_from([b"{a}1", b"{a}2", b"b", b"c}{"])
UNITS = st.lists(st.one_of(NAMES, st.lists(st.sampled_from([b"{a}1", b"{a}2"]), min_size=1, max_size=3)), max_size=9)
MOVED = hiredis.ReplyError("MOVED 1 h:1")
NOSCRIPT = hiredis.ReplyError("NOSCRIPT No matching script")


class Node:
    """Settles as a node does, and remembers whose calls."""

    address = ("h", 1)

    def __init__(self) -> None:
        self.calm = True
        self.settled: list[ScriptCall] = []

    def settle(self, call: ScriptCall, reply: Any) -> Results | None:
        """As a node does."""
        self.settled.append(call)
        return results_of(reply, call.hits, call.batch.now)


class Sends:
    """Takes the calls that are answered so, as who knows the nodes does."""

    def __init__(self, *errors: str) -> None:
        self.errors = errors
        self.calls: list[SlotCall] = []

    def redirect(self, call: SlotCall, error: str) -> bool:
        """Keep it."""
        if error.startswith(self.errors or "-"):
            self.calls.append(call)
            return True
        return False


class Held:
    """A batch on its way to one node."""

    def __init__(self, *hits: Hit, errors: Sequence[str] = ()) -> None:
        self.told: list[Results] = []
        self.pipeline: Any = FakePipeline()
        self.node, self.sends = Node(), Sends(*errors)
        self.gathering = Gathering(Batch(hits, NOW, 7.0), self.told.append)
        self.pieces = pieces_of(hits, plain=are_plain(hits))
        Burst(self.sends, self.gathering, self.node, self.pipeline, self.pieces).send()

    def call(self, piece: Piece) -> SlotCall:
        """A call by itself."""
        return SlotCall(self.sends, self.gathering, piece, self.node, self.pipeline)

    @property
    def short(self) -> list[object]:
        """The counts that were told, or why there is none."""
        (results,) = self.told
        return [each.reason if isinstance(each, StoreError) else each.count for each in results]


@given(UNITS)
def test_a_batch_is_cut_by_slots(units: list[bytes | list[bytes]]) -> None:
    """Each hit is in one piece, those of a slot are in their order, and a group is whole."""
    hits = [
        hit(name, group=0 if isinstance(unit, bytes) else number)
        for number, unit in enumerate(units, 1)
        for name in ([unit] if isinstance(unit, bytes) else unit)
    ]
    pieces = pieces_of(hits, plain=are_plain(hits))
    assert sorted(place for *_, places in pieces for place in places) == list(range(len(hits)))
    in_order: dict[int, list[int]] = {}
    for slot, script, members, places in pieces:
        assert [hits[place] for place in places] == list(members)
        assert {slot_of(each.key.name) for each in members} == {slot}
        assert all((script is CHARGE_GROUPS) == (each.group != 0) for each in members)
        in_order.setdefault(slot, []).extend(places)
    assert all(places == sorted(places) for places in in_order.values())
    groups = [{each.group for each in members} - {0} for _, _, members, _ in pieces]
    assert sum(map(len, groups)) == len({each.group for each in hits} - {0})


def test_a_piece_is_bounded() -> None:
    """A slot with many hits gets several commands."""
    hits = [hit(b"{a}%d" % number) for number in range(HITS_PER_COMMAND_MAX + 1)]
    assert [len(piece[2]) for piece in pieces_of(hits, plain=True)] == [HITS_PER_COMMAND_MAX, 1]


def test_a_burst_is_one_write_and_its_results_are_in_the_order_of_the_batch() -> None:
    """Every piece is a command of it; results are put where their hits were."""
    held = Held(hit(b"{a}1"), hit(b"b", 5), hit(b"{a}2", 2))
    packed, number = held.pipeline.answer([[1, 2], [5]])
    assert (number, held.short) == (2, [1, 5, 2])
    reader = hiredis.Reader()
    reader.feed(packed)
    sent = [reader.gets() for _ in range(2)]
    assert sent[0][:5] == [b"EVALSHA", ADD_HITS.sha, b"2", b"{a}1", b"{a}2"]
    assert sent[1] == [b"EVALSHA", ADD_HITS.sha, b"1", b"b", b"5", b"60"]
    assert held.node.settled == []


def test_groups_and_other_algorithms_have_results_of_their_own() -> None:
    """As their scripts tell them."""
    held = Held(hit(b"a", group=1), moment(GCRA, NOW * 1000, name=b"g"))
    held.pipeline.answer([[[3, 1]], [[2, 1, 1000]]])
    assert held.short == [3, 2]


def test_what_is_unusual_is_settled_by_the_node() -> None:
    """An error of a hit, or of a whole command; all of it where something went wrong lately."""
    held = Held(hit(b"a"), hit(b"b"), hit(b"c"))
    lost = StoreError("lost", outcome_unknown=True)
    held.pipeline.answer([[1], [hiredis.ReplyError("WRONGTYPE no")], lost])
    assert held.short == [1, "the store refused: WRONGTYPE", "lost"]
    assert [call.hits[0].key.name for call in held.node.settled] == [b"c", b"b"]
    held = Held(hit(b"a"))
    held.node.calm = False
    held.pipeline.answer([[1]])
    assert (held.short, len(held.node.settled)) == ([1], 1)


def test_a_redirection_keeps_one_call_and_no_other() -> None:
    """The batch is told when that call came back too."""
    held = Held(hit(b"a"), hit(b"b"), errors=["MOVED"])
    held.pipeline.answer([MOVED, [1]])
    (call,) = held.sends.calls
    assert (held.told, call.slot, call.tries) == ([], slot_of(b"a"), 1)
    call.send_again(held.node, held.pipeline)
    held.pipeline.answer([4])
    assert (held.short, call.tries) == ([4, 1], 2)


def test_asking_stands_before_each_send() -> None:
    """Right before the command, and again where the node did not know the script."""
    held = Held(hit(b"a"), errors=["ASK"])
    held.pipeline.answer([hiredis.ReplyError("ASK 1 h:1")])
    (call,) = held.sends.calls
    call.asking = True
    call.send_again(held.node, held.pipeline)
    sent = [held.pipeline.answer(reply)[0] for reply in (b"OK", NOSCRIPT, b"OK", [1])]
    assert sent == [b"ASKING", b"EVALSHA", b"ASKING", b"EVAL"]
    assert held.short == [1]


def test_a_call_is_split_by_keys_and_groups() -> None:
    """Hits on one key stay together, and so does a group."""
    hits = [hit(b"{a}1"), hit(b"{a}2"), hit(b"{a}1", 2), hit(b"{a}3", group=9), hit(b"{a}4", group=9)]
    held = Held(*hits)
    call = held.call((slot_of(b"{a}"), ADD_HITS, hits, range(5)))
    call.asking, call.tries = True, 2
    parts = call.split()
    assert [[each.amount for each in part.hits] for part in parts] == [[1, 2], [1], [1, 1]]
    assert {(part.asking, part.tries) for part in parts} == {(True, 2)}
