import asyncio
from typing import Any

import pytest

from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.stores.redis.call import ScriptCall
from ratelimit.stores.redis.commands import ADD_HITS
from ratelimit.stores.redis.second_try import SecondTry
from tests.limiter.plans import NOW, hit
from tests.stores.redis.fakes import FakePipeline
from tests.stores.redis.test_call import Sender

REFUSED = [StoreError("the store refused: READONLY")]


class Held:
    """A call and the keeper of it."""

    def __init__(self, deadline_s: float = 60.0) -> None:
        loop = asyncio.get_running_loop()
        self.told: asyncio.Future[Results] = loop.create_future()
        self.failed: list[ScriptCall] = []
        self.pipeline: Any = FakePipeline()
        batch = Batch([hit(b"k")], NOW, loop.time() + deadline_s)
        self.call = ScriptCall(Sender(), self.pipeline, (ADD_HITS, batch.hits), batch, self.told.set_result)
        self.keeper = SecondTry(lambda call, _: self.failed.append(call))


async def test_a_kept_call_goes_out_once_more() -> None:
    """On the next connection, and not a third time."""
    held = Held()
    assert held.keeper.keep(held.call, REFUSED)
    held.keeper.send(Sender(), held.pipeline)
    held.pipeline.answer([1])
    assert held.told.done()
    assert not held.keeper.keep(held.call, REFUSED)
    assert held.failed == []


async def test_nothing_is_kept_past_its_deadline() -> None:
    """Without a connection it gets the answer it had, at the deadline; one that is over is not kept at all."""
    held = Held(0.01)
    assert held.keeper.keep(held.call, REFUSED)
    assert await asyncio.wait_for(held.told, 30) == REFUSED
    assert held.failed == [held.call]
    late = Held(-1)
    assert not late.keeper.keep(late.call, REFUSED)


@pytest.mark.parametrize("full", [True, False])
async def test_what_cannot_be_sent_is_given_up(full: bool) -> None:
    """A connection that takes no more, or the end."""
    held = Held()
    held.keeper.keep(held.call, REFUSED)
    if full:
        held.pipeline.writable = False
        held.keeper.send(Sender(), held.pipeline)
    else:
        held.keeper.close()
    assert held.told.result() == REFUSED
