import asyncio

import pytest

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.transport.awaited_call import AwaitedCall


async def test_the_first_end_counts() -> None:
    """A second answer does nothing, whatever it is."""
    call = AwaitedCall()
    assert call.waiting
    call.reply(b"one")
    call.fail(RpcError(GrpcStatus.INTERNAL, "two"))
    assert (await call.answer(), call.waiting) == (b"one", False)


async def test_an_error_is_raised() -> None:
    """A failed call raises in whoever waits for it."""
    call = AwaitedCall()
    call.fail(RpcError(GrpcStatus.UNAVAILABLE, "away"))
    with pytest.raises(RpcError, match="away"):
        await call.answer()


async def test_a_cancelled_wait_is_known() -> None:
    """Who gave up is not waiting, and a late answer hurts nobody."""
    call = AwaitedCall()
    task = asyncio.create_task(call.answer())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not call.waiting
    call.reply(b"late")
