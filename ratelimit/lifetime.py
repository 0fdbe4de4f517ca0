"""What every process of the service does when it has started and when it ends."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog

# A part that does not close in this time is left behind: the process ends with it.
CLOSE_S_MAX = 10.0
# A task that was cancelled and goes on for so long is cancelled again.
CANCEL_AGAIN_S = 1.0
# Objects made and not freed between two passes over the youngest, and how many of those make one over the older ones.
GC_THRESHOLDS = (50_000, 20, 20)

Part = tuple[str, Callable[[], Awaitable[None]]]

_log = structlog.get_logger("ratelimit")


def settle_memory() -> None:
    """Take what the start has made out of the garbage collector's sight, and let it look less often.

    A full pass visits every object: 30 ms with what is imported here, in which no call is answered. What requests make
    is freed without it, since they make no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


async def first(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run until one has ended; the others are cancelled."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    await end_tasks(*tasks)


async def end_tasks(*tasks: asyncio.Future[Any] | None) -> None:
    """Cancel tasks and wait until they have ended, however they end.

    What a task waits for may swallow that it is cancelled, as `asyncio.wait_for` of Python 3.11 does when its own wait
    is over in the same moment; redis-py sends through it. So a task that goes on is cancelled again.
    """
    pending = {task for task in tasks if task is not None}
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        await asyncio.gather(*ended, return_exceptions=True)  # what they raised is seen


async def close_each(parts: Sequence[Part]) -> None:
    """Close one part after the other; one that fails or hangs is logged, and keeps none of the rest from closing."""
    for name, close in parts:
        # In a task of its own, so that a part's cancelled inside is that part's failure and not ours.
        (failure,) = await asyncio.gather(asyncio.wait_for(close(), CLOSE_S_MAX), return_exceptions=True)
        if failure is not None:
            _log.error("a part did not close", part=name, exc_info=failure)
