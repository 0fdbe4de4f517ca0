import asyncio
import time

import pytest

from ratelimit.clock import FollowingClock, SteppedClock
from ratelimit.errors import StoreError
from ratelimit.metrics import StoreStats
from ratelimit.settings import RedisSettings
from ratelimit.stores.redis import store_time
from ratelimit.stores.redis.store import RedisStore
from ratelimit.stores.redis.store_time import StoreTime
from tests.stores.redis.fakes import FakePipeline


@pytest.fixture
def clock() -> FollowingClock:
    """One whose local clock is far off."""
    return FollowingClock(SteppedClock(5), time.monotonic)


async def test_the_answer_is_taken_in(clock: FollowingClock) -> None:
    """Seconds and microseconds, as TIME has them."""
    pipeline = FakePipeline()
    StoreTime(clock, 1.0).follow(pipeline)
    assert pipeline.answer([b"1700000000", b"250000"]) == (b"TIME",)
    assert clock.now() == pytest.approx(1_700_000_000.25, abs=5)
    pipeline.ended = True


@pytest.mark.parametrize("reply", [StoreError("no answer"), [b"1"], b"1"])
async def test_what_is_no_time_is_not_taken_in(clock: FollowingClock, reply: object) -> None:
    """The clock stays what it was."""
    pipeline = FakePipeline()
    StoreTime(clock, 1.0).follow(pipeline)
    pipeline.answer(reply)
    assert clock.now() == 5
    pipeline.ended = True


async def test_it_is_asked_again_until_the_connection_ends(
    clock: FollowingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while the server takes no more, and never after its end."""
    monkeypatch.setattr(store_time, "ASK_EVERY_S", 0)
    pipeline, time_of_store = FakePipeline(), StoreTime(clock, 1.0)
    pipeline.writable = False
    time_of_store.follow(pipeline)
    await asyncio.sleep(0)
    assert pipeline.sent == []
    pipeline.writable = True
    while len(pipeline.sent) < 3:  # noqa: ASYNC110 - of a timer nothing tells
        await asyncio.sleep(0)
    pipeline.ended = True
    asked = len(pipeline.sent)
    time_of_store.follow(pipeline)
    await asyncio.sleep(0.01)
    assert len(pipeline.sent) == asked


async def test_a_store_tells_its_time_before_it_is_ready(valkey_port: int, clock: FollowingClock) -> None:
    """No call is counted by the local clock first."""
    ready = asyncio.Event()
    place = RedisSettings(redis_socket_type="tcp", redis_url=f"127.0.0.1:{valkey_port}", redis_timeout=5.0).place
    store = RedisStore(place, StoreStats(), lambda _: ready.set(), clock=clock)
    await store.start()
    await asyncio.wait_for(ready.wait(), 30)
    assert clock.now() == pytest.approx(time.time(), abs=10)
    await store.close()
