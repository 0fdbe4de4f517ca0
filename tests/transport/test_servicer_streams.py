import asyncio

import pytest

from ratelimit.errors import GrpcStatus
from ratelimit.transport import frames
from ratelimit.transport.calls import Call
from ratelimit.transport.grpc import PREFIX_BYTES
from ratelimit.transport.housekeeping import Caps
from ratelimit.transport.sending import OUTPUT_BYTES_MAX
from ratelimit.transport.servicer_streams import (
    HELD_BYTES_MAX,
    MESSAGE_COST_BYTES,
    UNREAD_BYTES_MAX,
    Requests,
    Responses,
)
from ratelimit.transport.streams import State
from tests.transport.sans_io import FIRST, Peer, until

KIB = 1024


class Idle:
    """A receiver that leaves the call to the test; it passes on what wakes a writer."""

    full = False

    def __init__(self, call: Call) -> None:
        self.responses = Responses(call)

    def message(self, _: bytes) -> None:
        pass

    def end(self) -> None:
        pass

    def gone(self) -> bool:
        return False

    def writable(self) -> None:
        self.responses.writable()


def opened(caps: Caps | None = None) -> tuple[Peer, Call, Responses]:
    """A client, its call and where the responses go."""
    peer = Peer(Idle, caps)
    call = peer.request()
    peer.received()
    assert call.body is not None
    return peer, call, call.body.receiver.responses


async def test_messages_come_out_in_their_order_and_then_the_end() -> None:
    """Whether they wait for the reader, or the reader for them."""
    _, call, _ = opened()
    requests = Requests(call)
    requests.put(b"one")
    assert (len(requests), await requests.next()) == (1, b"one")
    reading = asyncio.ensure_future(requests.next())
    await asyncio.sleep(0)
    requests.put(b"")
    requests.end()
    assert (await reading, await requests.next(), await requests.next()) == (b"", None, None)


async def test_what_waits_to_be_read_is_counted_and_bounded() -> None:
    """Empty messages too; dropped or read, nothing stays in the account."""
    _, call, _ = opened(Caps(buffered_bytes_max=64 * UNREAD_BYTES_MAX))
    requests = Requests(call)
    while not requests.full:
        requests.put(b"")
    assert len(requests) == UNREAD_BYTES_MAX // MESSAGE_COST_BYTES + 1
    await requests.next()
    assert (requests.full, call.connection.buffered) == (False, UNREAD_BYTES_MAX)
    requests.drop()
    assert (len(requests), call.connection.buffered) == (0, 0)


async def test_a_crowded_connection_makes_each_stream_wait_for_its_reader() -> None:
    """Before the bound of all is reached, which ends calls."""
    _, call, _ = opened(Caps(buffered_bytes_max=10 * KIB))
    requests = Requests(call)
    requests.put(bytes(4 * KIB))
    assert not requests.full
    requests.put(bytes(4 * KIB))
    assert requests.full
    await requests.next()
    assert not requests.full


async def test_reading_gives_the_window_back() -> None:
    """While too much waits the peer gets no more room; once that is read, it does."""
    peer, call, _ = opened()
    requests = Requests(call)
    requests.put(bytes(UNREAD_BYTES_MAX))
    assert call.body is not None
    call.body.owed = 200 * KIB
    await requests.next()
    assert peer.received() == [(frames.WINDOW_UPDATE, FIRST, (200 * KIB).to_bytes(4, "big"))]


async def test_headers_go_before_the_first_message_and_the_status_last() -> None:
    """With metadata in both."""
    peer, _, responses = opened()
    responses.begin((("x-first", "1"),))
    responses.message(b"one")
    responses.end(GrpcStatus.OK, "", (("x-last", "2"),))
    kinds = [kind for kind, _, _ in peer.received()]
    assert kinds == [frames.HEADERS, frames.DATA, frames.HEADERS, frames.RST_STREAM]


async def test_an_error_before_anything_is_one_block() -> None:
    """Trailers-Only; an end with OK has headers of its own."""
    for status, blocks in ((GrpcStatus.NOT_FOUND, 1), (GrpcStatus.OK, 2)):
        peer, _, responses = opened()
        responses.end(status)
        assert [kind for kind, _, _ in peer.received()].count(frames.HEADERS) == blocks


async def test_a_call_ends_once() -> None:
    """What comes after its end is not sent."""
    peer, call, responses = opened()
    responses.end(GrpcStatus.NOT_FOUND, "first")
    responses.end(GrpcStatus.INTERNAL, "second")
    assert peer.answer()[0]["grpc-message"] == "first"
    assert not call.waiting


async def test_a_writer_waits_while_too_much_is_held_back() -> None:
    """The peer's window is closed; once it opens, the writer goes on."""
    peer, call, responses = opened()
    responses.message(bytes(2 * HELD_BYTES_MAX))
    writing = asyncio.ensure_future(responses.room())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not writing.done()
    for stream_id in (frames.CONNECTION, FIRST):
        peer.send(frames.window_update(stream_id, 4 * HELD_BYTES_MAX))
    await writing
    assert call.outflow is not None
    assert call.outflow.held == 0


async def test_a_writer_whose_call_ends_waits_no_longer() -> None:
    """Nobody would wake it else."""
    _, _, responses = opened()
    responses.message(bytes(2 * HELD_BYTES_MAX))
    writing = asyncio.ensure_future(responses.room())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    responses.end(GrpcStatus.UNAVAILABLE)
    await writing


@pytest.mark.parametrize("after_s", [0, 0.001])
async def test_what_nobody_reads_is_given_up(after_s: float) -> None:
    """At once or after a while: RST_STREAM, and nothing is kept; a call that is sent whole is left alone."""
    peer, call, responses = opened()
    responses.message(bytes(2 * HELD_BYTES_MAX))
    responses.end(GrpcStatus.UNAVAILABLE)
    responses.give_up(after_s)
    await until(lambda: call.state is State.CLOSED)
    assert peer.received()[-1][0] == frames.RST_STREAM
    responses.give_up(after_s)
    assert peer.received() == []


async def test_data_waits_with_its_stream_until_what_went_before_is_written() -> None:
    """Wide windows are no reason to lay out all at once; while the socket is full nothing more is."""
    peer, call, responses = opened()
    for stream_id in (frames.CONNECTION, FIRST):
        peer.send(frames.window_update(stream_id, 8 * OUTPUT_BYTES_MAX))
    responses.message(bytes(3 * OUTPUT_BYTES_MAX))
    assert call.outflow is not None
    assert len(peer.answer()[1]) == OUTPUT_BYTES_MAX
    peer.connection.pause()
    assert len(peer.answer()[1]) == OUTPUT_BYTES_MAX
    assert peer.received() == []
    peer.connection.resume()
    assert len(peer.answer()[1]) + len(peer.answer()[1]) == OUTPUT_BYTES_MAX + PREFIX_BYTES
    assert call.outflow.held == 0


def pings(peer: Peer) -> list[bytes]:
    """The PINGs among what was sent since."""
    return [content for kind, _, content in peer.received() if kind == frames.PING]


def answer_ping(peer: Peer, data: bytes) -> None:
    """The client answers a PING."""
    peer.send(frames.frame(frames.PING, frames.ACK, frames.CONNECTION, data))
    for told in peer.connection.acknowledgements.take_ready():
        told()


async def test_a_written_message_is_acknowledged_when_the_client_has_read_it() -> None:
    """The PING stands behind it; an answer that comes after the waiter has left harms nobody."""
    peer, _, responses = opened()
    responses.message(b"one")
    read, left = responses.acknowledged(), responses.acknowledged()
    kinds = [kind for kind, _, _ in peer.received()]
    assert kinds == [frames.HEADERS, frames.DATA, frames.PING]
    left.cancel()
    answer_ping(peer, b"read\0\0\0\1")
    await read
    assert left.cancelled()


async def test_what_waits_for_the_window_is_not_acknowledged_before_it_went_out() -> None:
    """A PING ahead of its message would tell nothing."""
    peer, _, responses = opened()
    peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    responses.message(b"one")
    read = responses.acknowledged()
    assert pings(peer) == []
    peer.send(frames.window_update(FIRST, 100))
    (asked,) = pings(peer)
    answer_ping(peer, asked)
    await read


async def test_nothing_is_acknowledged_any_more_when_the_call_is_over() -> None:
    """Whoever waits hears that; so does who asks where too many wait."""
    peer, _, responses = opened()
    peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    responses.message(b"one")
    held = responses.acknowledged()
    responses.end(GrpcStatus.OK)
    assert held.cancelled()
    while peer.connection.acknowledgements.ask(lambda: None, 0.0):
        pass
    crowded = Responses(peer.request(stream_id=(3).to_bytes(4, "big")))
    assert crowded.acknowledged().cancelled()
