import asyncio
import json
import socket

import pytest

from ratelimit.metrics import Metrics, Snapshot
from ratelimit.metrics.increments import Increments
from ratelimit.workers.pipe import Pipe, increment_line, line, message_of, text_of


async def ends() -> tuple[Pipe, Pipe]:
    """Both of one."""
    one, two = socket.socketpair()
    return await Pipe.open(one), await Pipe.open(two)


async def test_what_is_said_is_heard_in_order_up_to_the_end() -> None:
    """Short words and long pieces; then the other end is gone."""
    ours, theirs = await ends()
    ours.send(swap=1)
    await ours.send_piece(line(nodes=["x" * 1000]))
    ours.send(serve=True)
    closing = asyncio.ensure_future(ours.close())
    heard = [next(iter(fields)) async for fields in theirs.lines()]
    assert heard == ["swap", "nodes", "serve"]
    await closing
    theirs.abort()


async def test_words_to_nobody_are_dropped() -> None:
    """The end of what is heard tells, not an exception in the middle of something else."""
    ours, theirs = await ends()
    theirs.abort()
    assert [fields async for fields in ours.lines()] == []
    ours.send(swap=1)
    with pytest.raises(ConnectionError):
        await _until_it_is_gone(ours)
    ours.abort()


async def test_a_pipe_that_is_reset_has_ended() -> None:
    """The other end was killed with our words unread."""
    ours, theirs = await ends()
    ours.send(nodes="x" * 1000)
    await asyncio.sleep(0)
    theirs.abort()
    assert [fields async for fields in ours.lines()] == []
    ours.abort()


async def test_a_long_piece_waits_for_room() -> None:
    """Whoever does not read is not buried."""
    ours, theirs = await ends()
    sending = asyncio.ensure_future(ours.send_piece(line(nodes="x" * 4_000_000)))
    await asyncio.wait([sending], timeout=0.05)
    assert not sending.done()
    assert len((await anext(theirs.lines()))["nodes"]) == 4_000_000
    await sending
    ours.abort()
    theirs.abort()


async def test_a_line_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of a line is bounded; a long one that ends is well."""
    monkeypatch.setattr("ratelimit.workers.pipe.LINE_BYTES_MAX", 200_000)
    ours, theirs = await ends()
    sending = asyncio.ensure_future(ours.send_piece(line(a="x" * 150_000) + b"y" * 300_000))
    lines = theirs.lines()
    assert len((await anext(lines))["a"]) == 150_000
    with pytest.raises(ValueError, match="without an end"):
        await anext(lines)
    theirs.abort()
    await asyncio.gather(sending, return_exceptions=True)
    ours.abort()


def test_an_increment_is_told_as_it_is_and_nothing_is_not_told() -> None:
    """Through JSON and back; a piece without news has no line."""
    metrics = Metrics()
    metrics.limit("d.k").total_hits += 3
    metrics.should_rate_limit.observe(0.002)
    increments = Increments(metrics)
    whole = Metrics()
    for piece in increments.pieces():
        if text := increment_line(piece):
            whole.add(Snapshot(**json.loads(text)["counted"]))
    assert whole.snapshot().configured == metrics.snapshot().configured
    assert whole.snapshot().calls == metrics.snapshot().calls
    assert [increment_line(piece) for piece in increments.pieces()] == [b"", b""]


def test_any_message_goes_as_text() -> None:
    """Serialised messages are bytes of every value."""
    message = bytes(range(256))
    assert message_of(text_of(message)) == message


async def _until_it_is_gone(pipe: Pipe) -> None:
    while True:
        await pipe.send_piece(b"x" * 100_000)
        await asyncio.sleep(0)
