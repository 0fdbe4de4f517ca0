import asyncio
import functools
from typing import Any

import pytest

from ratelimit.errors import StoreError
from ratelimit.metrics import StoreStats
from ratelimit.stores.redis import pipeline as redis_pipeline
from ratelimit.stores.redis.pipeline import RedisPipeline


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True


class Line:
    """A pipeline on a fake wire, and what it was told."""

    def __init__(self, timeout_s: float = 5.0, silence_s: float = 5.0) -> None:
        self.timeout_s = timeout_s
        self.lost: list[str] = []
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self.stats = StoreStats()
        self.pipeline = RedisPipeline(silence_s, self.stats, self._end)
        self.wire = Wire()
        self.pipeline.connection_made(self.wire)
        self.replies: list[Any] = []

    def send(self, *names: bytes, timeout_s: float | None = None) -> None:
        """Send a command for each name; its reply is kept with it."""
        deadline = asyncio.get_running_loop().time() + (self.timeout_s if timeout_s is None else timeout_s)
        for name in names:
            self.pipeline.send((b"GET", name), deadline, functools.partial(self._reply, name))

    def _reply(self, name: bytes, reply: Any) -> None:
        self.replies.append((name, reply))
        self.answered.set()

    def _end(self, reason: str) -> None:
        self.lost.append(reason)
        self.ended.set()


async def test_replies_go_to_their_commands_in_order() -> None:
    """First in, first out, however the bytes are cut."""
    line = Line()
    line.send(b"a", b"b", b"c")
    for byte in b":1\r\n$-1\r\n*1\r\n:3\r\n":
        line.pipeline.data_received(bytes((byte,)))
    assert line.replies == [(b"a", 1), (b"b", None), (b"c", [3])]
    assert line.wire.written.startswith(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2")


async def test_a_late_reply_is_swallowed() -> None:
    """After its deadline a command has its error, and the others still find their own replies."""
    line = Line(timeout_s=0.02)
    line.send(b"late")
    await asyncio.wait_for(line.answered.wait(), 30)
    assert isinstance(line.replies[0][1], StoreError)
    assert line.replies[0][1].outcome_unknown
    line.send(b"next")
    line.pipeline.data_received(b":1\r\n:2\r\n")
    assert line.replies[1:] == [(b"next", 2)]
    assert line.stats.timeouts == 1


async def test_each_command_has_its_own_deadline() -> None:
    """One sent while older ones stay without a reply does not wait for the next look at the silence."""
    line = Line(timeout_s=0.02, silence_s=4000)
    for name in (b"a", b"b"):
        line.answered.clear()
        line.send(name)
        await asyncio.wait_for(line.answered.wait(), 30)
    assert [(name, type(reply)) for name, reply in line.replies] == [(b"a", StoreError), (b"b", StoreError)]


async def test_deadlines_need_not_be_in_order() -> None:
    """What is sent later may have to be there earlier, as a command sent a second time has to."""
    line = Line()
    line.send(b"patient")
    line.send(b"hurried", timeout_s=0.01)
    await asyncio.wait_for(line.answered.wait(), 30)
    assert [name for name, _ in line.replies] == [b"hurried"]
    line.pipeline.data_received(b":1\r\n:2\r\n")
    assert line.replies[1:] == [(b"patient", 1)]


async def test_a_callback_that_raises_costs_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    """The connection stays, the neighbours have their replies, and the fault is logged."""
    line = Line()
    deadline = asyncio.get_running_loop().time() + 5
    line.pipeline.send((b"GET", b"a"), deadline, lambda _: 1 / 0)
    line.send(b"b")
    line.pipeline.data_received(b":1\r\n:2\r\n")
    assert line.replies == [(b"b", 2)]
    assert (line.lost, line.pipeline.writable) == ([], True)
    assert "ZeroDivisionError" in capsys.readouterr().out


async def test_a_handle_that_does_not_know_when(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uvloop gives a plain Handle for a time that has come: the deadline is kept all the same."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_at", lambda _, callback: loop.call_soon(callback))
    line = Line(timeout_s=0.0, silence_s=1000)
    line.send(b"a")
    line.send(b"b")
    monkeypatch.undo()
    await asyncio.wait_for(line.answered.wait(), 30)
    assert [name for name, _ in line.replies] == [b"a", b"b"]


async def test_a_reply_that_is_already_there_is_no_timeout() -> None:
    """The loop reads what has come before a deadline is judged."""
    line = Line(timeout_s=0.0)
    line.send(b"a")
    asyncio.get_running_loop().call_soon(line.pipeline.data_received, b":1\r\n")
    for _ in range(5):
        await asyncio.sleep(0)
    assert line.replies == [(b"a", 1)]


async def test_a_silent_server_is_given_up() -> None:
    """A connection that says nothing for too long is dropped."""
    line = Line(timeout_s=0.01, silence_s=0.05)
    line.send(b"a")
    await asyncio.wait_for(line.ended.wait(), 30)
    assert line.lost[0].startswith("no answer for")
    assert line.wire.aborted


async def test_a_loss_fails_what_waits_once() -> None:
    """What was written may have been counted: its outcome is unknown."""
    line = Line()
    line.send(b"a", b"b")
    line.pipeline.connection_lost(ConnectionResetError("reset"))
    line.pipeline.connection_lost(None)
    assert [(name, reply.outcome_unknown) for name, reply in line.replies] == [(b"a", True), (b"b", True)]
    assert line.lost == ["reset"]
    assert not line.pipeline.writable


@pytest.mark.parametrize("data", [b":1\r\n", b"!nonsense\r\n"])
async def test_a_server_that_speaks_out_of_turn_is_left(data: bytes) -> None:
    """An answer to nothing, or bytes that are no RESP, would shift every later answer."""
    line = Line()
    line.pipeline.data_received(data)
    line.pipeline.close("again")
    assert len(line.lost) == 1


async def test_back_pressure_is_told() -> None:
    """While the server takes nothing, nothing more is written."""
    line = Line()
    line.pipeline.pause_writing()
    assert not line.pipeline.writable
    line.pipeline.resume_writing()
    assert line.pipeline.writable


async def test_a_connection_that_is_left_answers_what_was_sent() -> None:
    """`finish` takes no more and ends with the last reply; with nothing outstanding it ends at once."""
    line, idle = Line(), Line()
    line.pipeline.send((b"GET", b"k"), asyncio.get_running_loop().time() + 60, line.replies.append)
    for each in (line, idle):
        each.pipeline.finish("a replica")
        assert not each.pipeline.writable
    assert (line.lost, idle.lost) == ([], ["a replica"])
    line.pipeline.data_received(b":7\r\n")
    assert (line.replies, line.lost) == ([7], ["a replica"])


async def test_what_is_outstanding_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long REDIS_TIMEOUT is."""
    monkeypatch.setattr(redis_pipeline, "OUTSTANDING_MAX", 2)
    line = Line()
    for expected in (True, False):
        line.pipeline.send((b"GET", b"k"), asyncio.get_running_loop().time() + 60, line.replies.append)
        assert line.pipeline.writable is expected
    line.pipeline.close("the end")


async def test_many_commands_are_one_write_and_answered_together() -> None:
    """Their replies come when the last is there, and what was sent around them keeps its place."""
    line, told = Line(), list[list[Any]]()
    line.send(b"a")
    line.pipeline.send_many(b"packed", 2, asyncio.get_running_loop().time() + 5, told.append)
    line.send(b"b")
    assert line.wire.written.count(b"packed") == 1
    line.pipeline.data_received(b":1\r\n:2\r\n")
    assert told == []
    line.pipeline.data_received(b"-MOVED 1 h:1\r\n:4\r\n")
    assert [list(map(str, each)) for each in told] == [["2", "MOVED 1 h:1"]]
    assert line.replies == [(b"a", 1), (b"b", 4)]


@pytest.mark.parametrize("late", [True, False])
async def test_what_is_not_answered_of_many_is_unknown(late: bool) -> None:
    """Those that were answered keep their replies; late ones are swallowed."""
    line = Line()
    loop = asyncio.get_running_loop()
    told: asyncio.Future[list[Any]] = loop.create_future()
    line.pipeline.send_many(b"packed", 3, loop.time() + (0.01 if late else 5), told.set_result)
    line.pipeline.data_received(b":1\r\n")
    if not late:
        line.pipeline.close("over")
    first, *others = await asyncio.wait_for(told, 30)
    assert first == 1
    assert [isinstance(each, StoreError) and each.outcome_unknown for each in others] == [True, True]
    assert line.stats.timeouts == (2 if late else 0)
    if late:
        line.pipeline.data_received(b":2\r\n:3\r\n")
        line.send(b"a")
        line.pipeline.data_received(b":4\r\n")
        assert line.replies == [(b"a", 4)]
