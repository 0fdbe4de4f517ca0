import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import AsyncMock

import grpc
import pytest

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.transport import open_calls
from ratelimit.transport.awaited_call import AwaitedCall
from ratelimit.transport.methods import Call
from ratelimit.transport.open_calls import STOPS, OpenCalls


def echo(calls: Sequence[Call], messages: Sequence[bytes]) -> None:
    """Answer at once."""
    for call, message in zip(calls, messages, strict=True):
        call.reply(message)


def serve(calls: OpenCalls, message: bytes) -> "asyncio.Task[bytes | RpcError]":
    """One call that is answered at once."""
    return asyncio.ensure_future(calls.serve(echo, message, AwaitedCall(0.0)))


async def test_answers_wait_for_the_release() -> None:
    """While held no answer goes out, not even an old one; after it all do."""
    calls = OpenCalls()
    before = serve(calls, b"before")
    await calls.hold()
    during = serve(calls, b"during")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (before.done(), during.done()) == (False, False)
    calls.release()
    assert (await before, await during) == (b"before", b"during")


async def test_callers_who_never_pause_do_not_hold_for_ever() -> None:
    """The pause ends whether or not it got quiet."""
    calls, ended = OpenCalls(), asyncio.Event()

    async def caller() -> None:
        while not ended.is_set():
            task = serve(calls, b"more")
            await asyncio.sleep(0.001)
            task.cancel()

    calling = asyncio.ensure_future(caller())
    await asyncio.sleep(0)
    await asyncio.wait_for(calls.hold(), 30)
    ended.set()
    await calling


async def test_without_an_answer_a_call_fails() -> None:
    """UNAVAILABLE, so that its client goes elsewhere."""
    calls = OpenCalls()
    waiting = asyncio.ensure_future(calls.serve(lambda *_: None, b"", AwaitedCall(0.0)))
    await asyncio.sleep(0)
    calls.fail()
    answer = await waiting
    assert isinstance(answer, RpcError)
    assert answer.grpc_status is GrpcStatus.UNAVAILABLE


async def test_a_cancelled_call_is_forgotten() -> None:
    """Whoever went away is told nothing, and the method can see it."""
    calls, seen = OpenCalls(), list[Call]()
    waiting = asyncio.ensure_future(calls.serve(lambda given, _: seen.extend(given), b"", AwaitedCall(0.0)))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert not seen[0].waiting
    calls.fail()


async def test_a_stream_that_comes_after_the_end_ends_at_once() -> None:
    """A client that has not read GOAWAY yet is sent elsewhere, not kept."""
    calls, began = OpenCalls(), list[object]()

    async def behaviour(request: bytes, _: object) -> None:
        began.append(request)

    handler: Any = calls.ending(grpc.unary_stream_rpc_method_handler(behaviour))
    calls.end_streams()
    context = AsyncMock()
    await handler.unary_stream(b"", context)
    context.abort.assert_awaited_once_with(grpc.StatusCode.UNAVAILABLE, STOPS)
    assert began == []


async def test_a_stream_whose_client_went_is_cancelled_with_it() -> None:
    """Nobody is there to be told UNAVAILABLE."""
    calls, cancelled = OpenCalls(), asyncio.Event()

    async def behaviour(_: bytes, __: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    handler: Any = calls.ending(grpc.unary_stream_rpc_method_handler(behaviour))
    context = AsyncMock()
    task = asyncio.ensure_future(handler.unary_stream(b"", context))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert cancelled.is_set()
    context.abort.assert_not_called()


@pytest.mark.parametrize("reads", [True, False])
async def test_a_stream_ends_after_the_message_on_its_way(reads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core takes no status while a message is being written; a client that does not read is not waited for."""
    monkeypatch.setattr(open_calls, "WRITE_S_MAX", 30 if reads else 0.01)
    calls, context = OpenCalls(), AsyncMock()
    writing, out = asyncio.Event(), asyncio.Event()

    async def write(_: bytes) -> None:
        writing.set()
        await out.wait()

    async def behaviour(_: bytes, given: Any) -> None:
        await given.write(b"one")

    context.write = write
    handler: Any = calls.ending(grpc.unary_stream_rpc_method_handler(behaviour))
    task = asyncio.ensure_future(handler.unary_stream(b"", context))
    await writing.wait()
    calls.end_streams()
    if reads:
        await asyncio.sleep(0.01)
        context.abort.assert_not_called()
        out.set()
    await asyncio.wait((task,))
    assert context.abort.await_count == reads
