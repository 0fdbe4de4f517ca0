"""The process of one worker: `python -m ratelimit.workers.process FD`, started by a supervisor and fed over a pipe.

It has its own store connection, limiter, caches and gRPC server; configurations come from the supervisor, and its
counts go there. Where the supervisor ends, however it ends, the worker drains by itself: the pipe ends then, and the
kernel sends SIGTERM where it can.
"""

import asyncio
import contextlib
import ctypes
import itertools
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

import uvloop

from ratelimit.errors import RpcError, StoreError
from ratelimit.lifetime import end_tasks, settle_memory
from ratelimit.logs import configure_logs
from ratelimit.metrics import Metrics
from ratelimit.metrics.increments import Increments
from ratelimit.settings import Settings, load_settings
from ratelimit.worker import Worker
from ratelimit.workers.pipe import SIGN_OF_LIFE, Pipe, increment_line, message_of, text_of
from ratelimit.workers.received import Received

TELL_S = 0.25
# Of so many times, one tells the keys.
KEYS_EVERY = 4
# A supervisor that does not listen is not waited for.
LAST_WORDS_S = 2.0
STAGE_S_MAX = 0.2
_PR_SET_PDEATHSIG = 1


def main(fd: int) -> int:
    """Serve until the supervisor says otherwise, or ends; the exit code."""
    die_with_the_supervisor()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(load_settings(), socket.socket(fileno=fd)))


def die_with_the_supervisor() -> None:
    """Let the kernel send SIGTERM when the supervisor dies, where it knows how: Linux. The pipe's end says it too."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))


async def serve(settings: Settings, end: socket.socket) -> int:
    """Be the worker that the first line makes of this process."""
    pipe = await Pipe.open(end)
    lines = pipe.lines()
    told = await anext(lines, None)
    if told is None:
        pipe.abort()
        return 0
    place = told["start"]
    configure_logs(settings.log, worker=place["worker"])
    # The port is the supervisor's, who has it already; workers share it.
    shared = settings.server.model_copy(update={"grpc_port": place["grpc_port"], "reuse_port": True})
    side = WorkerSide(settings.model_copy(update={"server": shared}), pipe)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, side.end)
    return await side.run(lines)


class WorkerSide:
    """A worker, and its end of the pipe. Made inside the running loop."""

    def __init__(self, settings: Settings, pipe: Pipe) -> None:
        self._pipe = pipe
        self._metrics = Metrics(settings.metrics.metrics_series_max)
        self.worker = Worker(settings, self._metrics)
        self._increments = Increments(self._metrics)
        self._received = Received()
        self._serve = asyncio.Event()
        self._serving = False
        self._ending = asyncio.Event()
        self._hurry = asyncio.Event()
        self._told_to_drain = False
        self._stage = self._all_came_to = 0
        self._stage_is_over = asyncio.Event()
        self._asked: set[asyncio.Task[None]] = set()

    def end(self) -> None:
        """Drain, then end."""
        self._ending.set()

    async def run(self, lines: Any) -> int:
        """Serve to the end; the exit code."""
        background = [asyncio.ensure_future(self._hear(lines)), asyncio.ensure_future(self._tell_again_and_again())]
        failure = ""
        try:
            await self._until_ending()
        except StoreError as error:
            failure = str(error)
            self._pipe.send(gave_up=failure)
        except (OSError, ValueError) as error:
            failure = str(error)
            self._pipe.send(failed=failure)
        else:
            if self._serving:
                await self.worker.drain(self._hurry, self._in_step if self._told_to_drain else None)
        await self.worker.close()
        await end_tasks(*background)
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._tell()
                await self._pipe.close()
        return 1 if failure else 0

    async def _until_ending(self) -> None:
        """Raises what ends a start: OSError, ValueError (of TLS files), StoreError."""
        serving = asyncio.ensure_future(self._serve_when_told())
        ends = [serving, asyncio.ensure_future(self._ending.wait()), asyncio.ensure_future(self.worker.gave_up())]
        try:
            while not self._ending.is_set():
                waits = [each for each in ends if each is not serving or not serving.done()]
                done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
        finally:
            await end_tasks(*ends)

    async def _serve_when_told(self) -> None:
        await self.worker.connect()
        await self._serve.wait()
        await self.worker.ready()
        settle_memory()
        await self.worker.serve()
        self._serving = True
        self._pipe.send(serving=True)
        health = self.worker.health
        health.on_change(lambda: self._pipe.send(healthy=health.healthy))

    async def _hear(self, lines: Any) -> None:
        """Do what the supervisor says, and end when it says no more."""
        try:
            async for fields in lines:
                await self._do(fields)
        finally:
            self._ending.set()

    async def _do(self, fields: Mapping[str, Any]) -> None:
        match fields:
            case {"nodes": rows}:
                self._received.take(rows)
            case {"begin": _}:
                await self._received.begin()
            case {"whole": generation}:
                self._received.whole(generation)
                self._pipe.send(whole=generation)
            case {"swap": generation}:
                await self._swap(generation)
            case {"serve": _}:
                self._serve.set()
            case {"drain": how}:
                self._told_to_drain = True
                self._ending.set()
                if how == "now":
                    self._hurry.set()
            case {"stage": stage}:
                self._all_came_to = stage
                self._stage_is_over.set()
            case _:
                self._look(fields)

    def _look(self, fields: Mapping[str, Any]) -> None:
        """Do what the pages of the supervisor ask for."""
        match fields:
            case {"watch": on}:
                self.worker.watch_keys(on=on)
            case {"ask": number, "message": text, "counted": counted}:
                asking = asyncio.ensure_future(self._answer(number, message_of(text), counted=counted))
                self._asked.add(asking)
                asking.add_done_callback(self._asked.discard)

    async def _in_step(self) -> None:
        """Wait for the other workers in a drain, for a moment: answers are held meanwhile."""
        self._stage += 1
        self._pipe.send(stage=self._stage)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STAGE_S_MAX):
                while self._all_came_to < self._stage:
                    self._stage_is_over.clear()
                    await self._stage_is_over.wait()

    async def _swap(self, generation: int) -> None:
        config = self._received.get(generation)
        if config is not None:
            self.worker.swap(config, generation)
            del config
            self._pipe.send(swapped=self.worker.service.generation)
            await self._received.in_force()

    async def _answer(self, number: int, message: bytes, *, counted: bool) -> None:
        try:
            answer = await self.worker.service.ask(message, counted=counted)
        except RpcError as error:
            self._pipe.send(refusal=number, status=error.grpc_status.value, details=error.details)
        else:
            self._pipe.send(answer=number, message=text_of(answer))

    async def _tell_again_and_again(self) -> None:
        with contextlib.suppress(OSError):  # nobody hears it; `_hear` ends the process
            for number in itertools.count():
                await self._tell()
                for rates in self.worker.key_rates() if number % KEYS_EVERY == 0 else ():
                    self._pipe.send(keys=rates)
                await asyncio.sleep(TELL_S)

    async def _tell(self) -> None:
        for number, increment in enumerate(self._increments.pieces()):
            text = increment_line(increment)
            if text or number == 0:
                await self._pipe.send_piece(text or SIGN_OF_LIFE)
            await asyncio.sleep(0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
