"""A read of many small frames is handled a piece at a time."""

import asyncio

from ratelimit.transport import frames
from ratelimit.transport.connection import FRAMES_AT_ONCE
from ratelimit.transport.housekeeping import UNARY
from tests.transport.core import Client, whole
from tests.transport.glue import Peer

PINGS = frames.frame(frames.PING, 0, bytes(4), bytes(8)) * (FRAMES_AT_ONCE + 1)


def test_many_frames_are_handled_a_piece_at_a_time() -> None:
    """What a read leaves waits for its turn, before what the next read brings; calls of the lane are not counted."""
    client = Client()
    client.feed(whole(1))
    client.sent()
    calls = b"".join(whole(2 * at + 3) for at in range(FRAMES_AT_ONCE))
    written = calls + PINGS
    (unary,) = client.core.receive_data(written, 0)
    assert (unary[0], len(unary[2]), client.core.more) == (UNARY, FRAMES_AT_ONCE, True)
    assert len(client.sent()) == FRAMES_AT_ONCE
    assert [event[0] for event in client.core.receive_data(whole(1001), 0)] == [UNARY]
    assert (len(client.sent()), client.core.more) == (1, False)
    assert client.core.receive_more(0) == []


async def turn() -> None:
    """What was to be done soon is done."""
    await asyncio.sleep(0)


async def test_many_small_frames_leave_others_their_turn() -> None:
    """The rest of a read is handled in the next turn of the loop, and only then is more read."""
    peer = Peer()
    peer.feed(PINGS)
    assert (len(peer.sent()), peer.transport.done) == (FRAMES_AT_ONCE, ["pause"])
    await turn()
    assert (len(peer.sent()), peer.transport.done) == (1, ["pause", "resume"])


async def test_the_rest_of_a_read_waits_for_a_slow_reader() -> None:
    """Nothing more is handled while the client does not read; when it does, that comes first."""
    peer = Peer()
    peer.feed(PINGS * 2)
    peer.connection.pause_writing()
    await turn()
    assert len(peer.sent()) == FRAMES_AT_ONCE
    peer.connection.resume_writing()
    assert (len(peer.sent()), peer.transport.done) == (FRAMES_AT_ONCE, ["pause", "pause", "pause"])
    await turn()
    assert (len(peer.sent()), peer.transport.done[-1]) == (2, "resume")
