import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from ratelimit import lifetime as module
from ratelimit.lifetime import GC_THRESHOLDS, close_each, end_tasks, first, settle_memory


async def test_each_part_closes_whatever_the_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """One raises, one was cancelled inside, one hangs: each is logged by name, and the rest is closed."""
    monkeypatch.setattr(module, "CLOSE_S_MAX", 0.01)
    closed: list[str] = []

    async def raises() -> None:
        raise OSError("no more")

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def hangs() -> None:
        await asyncio.Event().wait()

    async def closes() -> None:
        closed.append("good")

    with capture_logs() as logs:
        await close_each([("bad", raises), ("odd", cancelled), ("slow", hangs), ("good", closes)])
    assert closed == ["good"]
    assert [line["part"] for line in logs if line["log_level"] == "error"] == ["bad", "odd", "slow"]
    assert isinstance(logs[0]["exc_info"], OSError)


async def test_the_first_to_end_ends_the_others() -> None:
    """Each is a wait, and one of them is enough."""
    never = asyncio.Event()
    await asyncio.wait_for(first(never.wait(), asyncio.sleep(0), never.wait()), 30)


async def test_a_task_that_swallows_its_cancellation_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's client did so once in many thousand ends, and its close waited for ever."""
    monkeypatch.setattr(module, "CANCEL_AGAIN_S", 0.01)
    swallowed: list[int] = []

    async def stubborn() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if len(swallowed) == 2:
                    raise
                swallowed.append(1)

    async def fails() -> None:
        raise OSError("seen by nobody")

    tasks = [asyncio.ensure_future(stubborn()), asyncio.ensure_future(fails())]
    await asyncio.sleep(0)
    await asyncio.wait_for(end_tasks(*tasks, None), 30)
    assert swallowed == [1, 1]
    assert all(task.done() for task in tasks)
    await end_tasks()


def test_what_the_start_made_is_looked_at_no_more() -> None:
    """The collector's passes are rare afterwards, and short."""
    before = gc.get_threshold()
    try:
        settle_memory()
        assert gc.get_threshold() == GC_THRESHOLDS
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
