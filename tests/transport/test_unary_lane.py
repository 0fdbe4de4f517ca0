from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.transport.housekeeping import Caps
from tests.wire import frames
from tests.wire.core import Core
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


def fed(reads: list[bytes]) -> Core:
    """A connection that got these reads."""
    core = Core()
    core.feed(reads)
    return core


@given(conversations(), st.data())
def test_both_lanes_give_the_same(conversation: Conversation, drawn: st.DataObject) -> None:
    """Fed whole, byte by byte (which never takes the lane) and in any cuts: the same calls, and the same bytes."""
    sent = conversation.sent
    slow = outcome(fed([sent[at : at + 1] for at in range(len(sent))]))
    assert outcome(fed([sent])) == slow
    assert outcome(fed(conversation.pieces)) == slow
    assert outcome(fed(drawn.draw(cuts(sent)))) == slow


def test_the_lane_is_taken() -> None:
    """From the second call of a kind on, whole unary calls in one read go by the lane; else all this tests nothing."""
    core = Core()
    core.feed([frames.unary(1, ECHO, b"first")])
    before = len(core.calls)
    core.feed([b"".join(frames.unary(stream, ECHO, b"x" * stream) for stream in range(3, 99, 2))])
    lane = [call for _, call, _ in core.calls[before:]]
    assert len(lane) == 48
    assert all(call.body is None for call in lane)


def test_the_lane_is_taken_where_a_field_changes_each_time() -> None:
    """A traceparent of its own in each call is the normal case in a mesh: from the third call on it is no obstacle."""
    core = Core()
    core.feed([frames.SETTINGS_ACK])
    for stream in range(1, 41, 2):
        core.feed([frames.unary(stream, ECHO, b"", (b"traceparent", b"00-%032d-%016d-01" % (stream, stream)))])
    assert [call.body is None for _, call, _ in core.calls[2:]] == [True] * 18


def test_frames_of_calls_may_be_interleaved() -> None:
    """Heads first, bodies after, in another order: each message finds its call."""
    core = Core()
    core.feed([frames.unary(1, ECHO, b"first")])
    block = frames.block(frames.call_fields(ECHO))
    heads = b"".join(frames.headers(stream, block) for stream in (3, 5, 7))
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
    core.feed([frames.headers(3, frames.block(frames.call_fields(ECHO)))])
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
