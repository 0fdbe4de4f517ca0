from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.transport.housekeeping import Caps
from tests.wire import frames
from tests.wire.core import Core
from tests.wire.fuzzing import fuzz
from tests.wire.grammar import PATHS, Conversation, conversations, cuts
from tests.wire.served import ECHO


def by_stream(written: bytes) -> dict[bytes, bytes]:
    """The frames of each stream, in their order.

    RST_STREAM with NO_ERROR is left out: it says that the answer came before the end of the request did, in reads.
    """
    found: dict[bytes, bytes] = defaultdict(bytes)
    at = 0
    while at < len(written):
        end = at + 9 + int.from_bytes(written[at : at + 3], "big")
        if written[at + 3] != frames.Kind.RST_STREAM or any(written[at + 9 : end]):
            found[written[at + 5 : at + 9]] += written[at:end]
        at = end
    return dict(found)


def outcome(core: Core) -> tuple[object, ...]:
    """What a connection has come to: calls that wait, their messages, what was written, how it ended.

    What is written is compared by stream: which of two streams is answered first depends on what came in one read.
    """
    waiting = core.waiting()
    core.answer()
    connection = core.connection
    streams = {stream_id: stream.state for stream_id, stream in connection.streams.items()}
    return waiting, by_stream(core.written), connection.failed, streams, connection.orphans, connection.last_stream_id


def single_bytes(sent: bytes) -> list[bytes]:
    """Each byte in a read of its own."""
    return [sent[at : at + 1] for at in range(len(sent))]


def fed(reads: list[bytes], *, lane: bool = True) -> Core:
    """A connection that got these reads, with the lane or without."""
    core = Core(lane=lane)
    core.feed(reads)
    return core


def test_both_lanes_give_the_same() -> None:
    """Fed whole, byte by byte and in any cuts, with the lane and without: the same calls, and the same bytes."""

    def check(drawn: tuple[Conversation, list[bytes]]) -> None:
        conversation, reads = drawn
        sent = conversation.sent
        slow = outcome(fed(single_bytes(sent), lane=False))
        for each in ([sent], conversation.pieces, reads, single_bytes(sent)):
            assert outcome(fed(each)) == slow

    fuzz(check, conversations().flatmap(lambda one: st.tuples(st.just(one), cuts(one.sent))))


BLOCK = frames.block(frames.call_fields(ECHO))
SIZED = frames.block(frames.call_fields(ECHO, (b"content-length", b"6")))
BODY = frames.message(b"x")
# Three calls, after which the lane knows both blocks, and a call that is open for the core.
BEFORE = [
    frames.headers(1, SIZED) + frames.data(1, BODY, end=True),
    frames.unary(3, ECHO, b"x"),
    frames.unary(5, ECHO, b"x"),
    frames.headers(7, BLOCK) + frames.data(7, BODY[:3]),
]


def call(stream: int, *, block: bytes = BLOCK, body: bytes = BODY) -> bytes:
    """A whole call as the lane likes it."""
    return frames.headers(stream, block) + frames.data(stream, body, end=True)


TRAPS = {
    "nothing wrong": call(9) + call(11, block=SIZED),
    "a body that is longer than its content-length": call(9, block=SIZED, body=frames.message(b"xy")),
    "a body that is shorter than its content-length": call(9, block=SIZED, body=frames.message(b"")),
    "an even stream": call(10),
    "stream 0": call(0),
    "a stream below the last": call(3),
    "the last stream once more": call(7),
    "a stream with the reserved bit": call(1 << 31 | 9),
    "DATA after the end": call(9) + frames.data(9, BODY, end=True),
    "DATA of a call that the core has begun": call(9) + frames.data(7, BODY, end=True),
    "the rest of a call that the core has begun": call(9) + frames.data(7, BODY[3:], end=True),
    "DATA of a stream that is idle": call(9) + frames.data(11, BODY, end=True),
    "DATA of stream 0": call(9) + frames.data(0, BODY, end=True),
    "a compressed message": call(9, body=frames.message(b"x", flag=1)),
    "a message that claims to be longer": call(9, body=frames.message(b"x", length=2)),
    "a message that claims to be shorter": call(9, body=frames.message(b"xy", length=1)),
    "two messages": call(9, body=BODY * 2),
    "no message": call(9, body=b""),
    "half a prefix": call(9, body=BODY[:3]),
    "DATA that do not end": frames.headers(9, BLOCK) + frames.data(9, BODY),
    "padded DATA": frames.headers(9, BLOCK) + frames.data(9, BODY, end=True, pad=1),
    "HEADERS that end the stream": frames.headers(9, BLOCK, end=True) + call(11),
    "a call within a block": frames.headers(9, BLOCK, whole=False) + call(11),
    "a call within a block of its own": frames.headers(9, BLOCK[:9], whole=False) + call(9),
    "a reset between": frames.headers(9, BLOCK) + frames.rst_stream(9) + frames.data(9, BODY, end=True),
    "a reset behind": call(9) + frames.rst_stream(9) + call(11),
    "a size that no frame has": call(9) + b"\xff\xff\xff" + call(11)[3:],
    "something cut": call(9) + call(11)[:-1],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_what_nearly_looks_like_a_call_of_the_lane(trap: str) -> None:
    """Each thing that the lane must look at before it takes a call, wrong by itself; cut at every place."""
    sent = TRAPS[trap]
    slow = outcome(fed([*BEFORE, *single_bytes(sent)], lane=False))
    for at in range(len(sent)):
        assert outcome(fed([*BEFORE, sent[:at], sent[at:]])) == slow


@pytest.mark.parametrize("last", [False, True])
def test_the_lane_minds_what_the_connection_has_said(last: bool) -> None:
    """After the last GOAWAY new calls are ignored, after the first they are not."""
    seen = []
    for lane in (True, False):
        core = fed(BEFORE, lane=lane)
        core.connection.close_gracefully(last=last)
        core.feed([call(9) + call(11)])
        seen.append(outcome(core))
    assert seen[0] == seen[1]


def test_the_lane_is_taken() -> None:
    """From the second call of a kind on, whole unary calls in one read go by the lane; else all this tests nothing."""
    core = Core()
    core.feed([frames.unary(1, ECHO, b"first")])
    before = core.frames_seen
    core.feed([b"".join(frames.unary(stream, ECHO, b"x" * stream) for stream in range(3, 99, 2))])
    assert (len(core.calls), core.frames_seen) == (49, before)


def test_the_lane_is_taken_where_a_field_changes_each_time() -> None:
    """A traceparent of its own in each call is the normal case in a mesh: from the third call on it is no obstacle."""
    core = Core()
    core.feed([frames.SETTINGS_ACK])
    seen = []
    for stream in range(1, 41, 2):
        core.feed([frames.unary(stream, ECHO, b"", (b"traceparent", b"00-%032d-%016d-01" % (stream, stream)))])
        seen.append(core.frames_seen)
    assert (len(core.calls), seen[-1]) == (20, seen[1])


def test_frames_of_calls_may_be_interleaved() -> None:
    """Heads first, bodies after, in another order: each message finds its call."""
    core = Core()
    core.feed([frames.unary(1, ECHO, b"first")])
    heads = b"".join(frames.headers(stream, BLOCK) for stream in (3, 5, 7))
    bodies = b"".join(frames.data(stream, frames.message(b"%d" % stream), end=True) for stream in (7, 3, 5))
    core.feed([heads + bodies])
    assert [(number, message) for number, _, message in core.waiting()] == [
        (1, b"first"),
        (3, b"3"),
        (5, b"5"),
        (7, b"7"),
    ]


def test_a_call_that_the_lane_began_is_ended_by_the_core() -> None:
    """A head in one read, and its body in the next, in pieces that the lane does not know."""
    core = Core()
    core.feed([frames.unary(1, ECHO, b"first")])
    core.feed([frames.headers(3, BLOCK)])
    core.feed([frames.data(3, frames.message(b"abc")[:6])])
    core.feed([frames.data(3, frames.message(b"abc")[6:]) + frames.data(3, end=True)])
    assert core.waiting() == [(1, ECHO, b"first"), (3, ECHO, b"abc")]


@given(st.lists(st.sampled_from([10, 1000, 4000, 5000]), min_size=1, max_size=40))
def test_both_lanes_give_windows_back(sizes: list[int]) -> None:
    """However a call is taken, what it used of the connection's window comes back: no more than half of it is owed."""
    caps = Caps(connection_window=70_000)
    sent = b"".join(frames.unary(2 * at + 1, PATHS[at % 2], b"x" * size) for at, size in enumerate(sizes))
    for reads in ([sent], [sent[at : at + 1] for at in range(len(sent))] if len(sent) < 20_000 else []):
        core = Core(caps)
        core.feed(reads)
        if reads and not core.connection.failed:
            assert core.connection.receive_window > 35_000
