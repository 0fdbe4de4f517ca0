import asyncio
import functools

import pytest

from ratelimit.errors import StoreError
from ratelimit.metrics import StoreStats
from ratelimit.stores.groups import Answer
from ratelimit.stores.memcached import pipeline as pipeline_module
from ratelimit.stores.memcached.commands import look
from ratelimit.stores.memcached.pipeline import MemcachedPipeline
from tests.stores.redis.test_pipeline import Wire


class Line:
    """A pipeline on a fake wire, and what it was told."""

    def __init__(self, timeout_s: float = 5.0, silence_s: float = 5.0) -> None:
        self.timeout_s = timeout_s
        self.lost: list[str] = []
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self.stats = StoreStats()
        self.pipeline = MemcachedPipeline(silence_s, self.stats, self._end)
        self.wire = Wire()
        self.pipeline.connection_made(self.wire)
        self.replies: list[tuple[bytes, list[Answer]]] = []

    def send(self, *names: bytes, timeout_s: float | None = None) -> None:
        """Send a look for each name, all in one slot that has the first name."""
        deadline = asyncio.get_running_loop().time() + (self.timeout_s if timeout_s is None else timeout_s)
        self.pipeline.send([look(name) for name in names], deadline, functools.partial(self._reply, names[0]))

    def _reply(self, name: bytes, answers: list[Answer]) -> None:
        self.replies.append((name, answers))
        self.answered.set()

    def _end(self, reason: str) -> None:
        self.lost.append(reason)
        self.ended.set()


async def test_answers_go_to_their_commands_in_order() -> None:
    """First in, first out, however the bytes are cut; a slot is told when all of its answers are there."""
    line = Line()
    line.send(b"a", b"b")
    line.send(b"c")
    for byte in b"VA 1\r\n1\r\nEN\r\nVA 1\r\n3\r\n":
        line.pipeline.data_received(bytes((byte,)))
    assert line.replies == [(b"a", [1, None]), (b"c", [3])]
    assert line.wire.written == b"mg a v\r\nmg b v\r\nmg c v\r\n"


async def test_late_replies_are_swallowed() -> None:
    """After a deadline what was answered is known and the rest is not, and the others find their own replies."""
    line = Line(timeout_s=0.02)
    line.send(b"late", b"later")
    line.pipeline.data_received(b"VA 1\r\n1\r\n")
    await asyncio.wait_for(line.answered.wait(), 30)
    first, second = line.replies[0][1]
    assert first == 1
    assert isinstance(second, StoreError)
    assert second.outcome_unknown
    line.send(b"next", timeout_s=5)
    line.pipeline.data_received(b"VA 1\r\n2\r\nVA 1\r\n3\r\n")
    assert line.replies[1:] == [(b"next", [3])]
    assert line.stats.timeouts == 1


async def test_deadlines_need_not_be_in_order() -> None:
    """What is sent later may have to be there earlier."""
    line = Line()
    line.send(b"patient")
    line.send(b"hurried", timeout_s=0.01)
    await asyncio.wait_for(line.answered.wait(), 30)
    assert [name for name, _ in line.replies] == [b"hurried"]
    line.pipeline.data_received(b"VA 1\r\n1\r\nVA 1\r\n2\r\n")
    assert line.replies[1:] == [(b"patient", [1])]


async def test_each_slot_has_its_own_deadline() -> None:
    """One sent while older ones stay without a reply does not wait for the next look at the silence."""
    line = Line(timeout_s=0.02, silence_s=4000)
    for name in (b"a", b"b"):
        line.answered.clear()
        line.send(name)
        await asyncio.wait_for(line.answered.wait(), 30)
    assert [name for name, _ in line.replies] == [b"a", b"b"]


async def test_a_callback_that_raises_costs_nobody_else(capsys: pytest.CaptureFixture[str]) -> None:
    """The connection stays, the neighbours have their replies, and the fault is logged."""
    line = Line()
    line.pipeline.send([look(b"a")], asyncio.get_running_loop().time() + 5, lambda _: 1 / 0)
    line.send(b"b")
    line.pipeline.data_received(b"EN\r\nVA 1\r\n2\r\n")
    assert line.replies == [(b"b", [2])]
    assert (line.lost, line.pipeline.writable) == ([], True)
    assert "ZeroDivisionError" in capsys.readouterr().out


async def test_a_reply_that_is_already_there_is_no_timeout() -> None:
    """The loop reads what has come before a deadline is judged; a timer of an empty queue does nothing."""
    line = Line(timeout_s=0.0)
    line.send(b"a")
    asyncio.get_running_loop().call_soon(line.pipeline.data_received, b"EN\r\n")
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert line.replies == [(b"a", [None])]
    assert line.stats.timeouts == 0


async def test_a_silent_server_is_given_up() -> None:
    """A connection that says nothing for too long is dropped."""
    line = Line(timeout_s=0.01, silence_s=0.05)
    line.send(b"a")
    await asyncio.wait_for(line.ended.wait(), 30)
    assert line.lost[0].startswith("no answer for")
    assert line.wire.aborted


async def test_a_loss_fails_what_waits_once() -> None:
    """What was written and not answered may have been counted: its outcome is unknown."""
    line = Line()
    line.send(b"a")
    line.send(b"b", b"c")
    line.pipeline.data_received(b"VA 1\r\n1\r\nVA 1\r\n2\r\n")
    line.pipeline.connection_lost(ConnectionResetError("reset"))
    line.pipeline.connection_lost(None)
    line.pipeline.close("again")
    (_, (known,)), (_, (first, second)) = line.replies
    assert (known, first) == (1, 2)
    assert isinstance(second, StoreError)
    assert second.outcome_unknown
    assert line.lost == ["reset"]
    assert not line.pipeline.writable


@pytest.mark.parametrize("data", [b"EN\r\n", b"-ERR nonsense\r\n"])
async def test_a_server_that_speaks_out_of_turn_is_left(data: bytes) -> None:
    """An answer to nothing, or bytes that are no reply, would shift every later answer."""
    line = Line()
    line.pipeline.data_received(data)
    assert len(line.lost) == 1
    assert line.wire.aborted


async def test_a_pipeline_without_a_connection_closes() -> None:
    """It may be given up before it is open."""
    lost: list[str] = []
    MemcachedPipeline(1, StoreStats(), lost.append).close("too late")
    assert lost == ["too late"]


async def test_back_pressure_and_the_bound_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server takes nothing, or too much waits, nothing more is written."""
    monkeypatch.setattr(pipeline_module, "OUTSTANDING_MAX", 2)
    line = Line()
    line.pipeline.pause_writing()
    assert not line.pipeline.writable
    line.pipeline.resume_writing()
    line.send(b"a", b"b")
    assert not line.pipeline.writable
    line.pipeline.data_received(b"EN\r\n")
    assert line.pipeline.writable
