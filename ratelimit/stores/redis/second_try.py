"""Calls that provably did not run, kept until there is a connection to send them on, or until their deadline."""

import asyncio
from collections.abc import Callable

from ratelimit.limiter.counter_store import Results
from ratelimit.stores.redis.call import ScriptCall, Settles
from ratelimit.stores.redis.pipeline import RedisPipeline


class SecondTry:
    """`note_failed` is told of each call that found no connection in time."""

    def __init__(self, note_failed: Callable[[ScriptCall, Results], None]) -> None:
        self._note_failed = note_failed
        self._kept: dict[ScriptCall, tuple[Results, asyncio.TimerHandle]] = {}

    def keep(self, call: ScriptCall, results: Results) -> bool:
        """Take a call; `results` are its results if no connection comes in time. False where it had its tries."""
        loop = asyncio.get_running_loop()
        if call.tries >= call.tries_max or call.batch.deadline <= loop.time():
            return False
        self._kept[call] = (results, loop.call_at(call.batch.deadline, self._give_up, call))
        return True

    def send(self, sender: Settles, pipeline: RedisPipeline) -> None:
        """Send all that is kept; what the connection does not take is given up."""
        for call in list(self._kept):
            if not pipeline.writable:
                self._give_up(call)
                continue
            _, timer = self._kept.pop(call)
            timer.cancel()
            call.send_again(sender, pipeline)

    def close(self) -> None:
        """Give all up."""
        for call in list(self._kept):
            self._give_up(call)

    def _give_up(self, call: ScriptCall) -> None:
        results, timer = self._kept.pop(call)
        timer.cancel()
        self._note_failed(call, results)
        call.finish(results)
