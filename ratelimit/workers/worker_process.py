"""The supervisor's side of one worker: feeds and hears its process, and leaves nothing of it behind.

Whatever the process does, crash, hang, write nonsense, is its end, told in words by `run`. What it said last of itself
stands in plain fields; `changed` is called when one of them is another.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from ratelimit.descriptors.tree import Config
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.metrics import Metrics, Snapshot
from ratelimit.metrics.increments import Heard
from ratelimit.sources.handover import node_lines, tree_nodes
from ratelimit.workers.child import Child
from ratelimit.workers.pipe import line, message_of, text_of

# A worker says something four times a second; one that does not for so long is ended, as its callers get no answers.
SILENCE_S_MAX = 30.0
ASK_S_MAX = 20.0
# What a worker says of itself, and where that stands.
_FACTS = {
    "whole": "whole",
    "swapped": "in_force",
    "serving": "serving",
    "healthy": "healthy",
    "stage": "stage",
    "failed": "failed",
    "gave_up": "gave_up",
}


class WorkerProcess:
    """One worker, from its first line to the end of its process."""

    def __init__(self, number: int, child: Child, metrics: Metrics, changed: Callable[[], None]) -> None:
        self.number = number
        self.serving = False
        self.healthy = False
        # The generation that it has received, and the one it was told to put in force, and the one it did.
        self.whole = 0
        self.told_to_swap = 0
        self.in_force = 0
        self.told_to_serve = False
        self.told_to_watch = False
        # The keys it noted, as it told last; nothing while it does not watch.
        self.key_rates: dict[str, Any] | None = None
        self.told_to_end = ""
        # How far it has come in a drain, and how far all have.
        self.stage = 0
        self.told_stage = 0
        # Why it ended, in its own words.
        self.failed = ""
        self.gave_up = ""
        self._heard = Heard(metrics)
        self._changed = changed
        self._child = child
        self._pipe = child.pipe
        self._to_feed: Iterator[bytes] = iter(())
        self._hungry = asyncio.Event()
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._asks = 0
        self._lines = 0
        self._silent = False

    async def run(self, grpc_port: int) -> str:
        """Make the child a worker and hear it until it ends; how it ended. Nothing of it is left, also if cancelled."""
        self._pipe.send(start={"worker": self.number, "grpc_port": grpc_port})
        self._changed()
        feeding = asyncio.ensure_future(self._feed())
        try:
            reason = await self._hear()
            self._over()
            code = await self._child.ended()
        finally:
            feeding.cancel()
            self._over()
            await self._child.reap()
        return reason or self.failed or self.gave_up or _in_words(code)

    def feed(self, config: Config, generation: int) -> None:
        """Hand a configuration on, in pieces; one that is on its way is broken off."""
        begin, whole = line(begin=generation), line(whole=generation)
        self._to_feed = chain((begin,), node_lines(tree_nodes(config)), (whole,))
        self._hungry.set()

    def swap(self, generation: int) -> None:
        """Tell it to put in force what it has received."""
        self.told_to_swap = generation
        self._pipe.send(swap=generation)

    def serve(self) -> None:
        """Tell it to take calls."""
        self.told_to_serve = True
        self._pipe.send(serve=True)

    def watch(self, *, on: bool) -> None:
        """Tell it to note which keys are hit, or no more."""
        self.told_to_watch = on
        self.key_rates = None
        self._pipe.send(watch=on)

    def end(self, how: str) -> None:
        """Tell it to end: calmly, or now."""
        self.told_to_end = how
        self._pipe.send(drain=how)

    def let_go_on(self) -> None:
        """Tell it that every worker has come as far as it has."""
        self.told_stage = self.stage
        self._pipe.send(stage=self.stage)

    async def ask(self, message: bytes, *, counted: bool = False) -> bytes:
        """Let it answer a request; `counted`: not without the store. Raises RpcError."""
        self._asks += 1
        number = self._asks
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._pipe.send(ask=number, message=text_of(message), counted=counted)
        try:
            async with asyncio.timeout(ASK_S_MAX):
                return await answer
        except TimeoutError:
            raise RpcError(GrpcStatus.DEADLINE_EXCEEDED, f"no answer within {ASK_S_MAX:g} s") from None
        finally:
            self._asked.pop(number, None)

    async def _hear(self) -> str:
        """Note what it says, to the end of the pipe; what was wrong with that, if anything."""
        watching = asyncio.ensure_future(self._watch())
        try:
            async for fields in self._pipe.lines():
                self._lines += 1
                self._note(fields)
        except (ValueError, TypeError, LookupError) as error:
            self._child.kill()
            return f"it wrote what is no line of a worker ({type(error).__name__}), and was killed"
        finally:
            watching.cancel()
        return f"it said nothing for {SILENCE_S_MAX:g} s, and was killed" if self._silent else ""

    async def _watch(self) -> None:
        """End a worker that hangs. One silence is none: this process may have been stopped meanwhile, and hear soon."""
        silences = 0
        while silences < 2:
            before = self._lines
            await asyncio.sleep(SILENCE_S_MAX / 2)
            silences = silences + 1 if self._lines == before else 0
        self._silent = True
        self._child.kill()

    def _note(self, fields: Mapping[str, Any]) -> None:
        match fields:
            case {"counted": counted}:
                self._heard.add(Snapshot(**counted))
            case {"keys": dict() as rates}:
                self.key_rates = rates if self.told_to_watch else None
            case {"answer": number, "message": text}:
                self._settle(number, message_of(text))
            case {"refusal": number, "status": status, "details": details}:
                self._settle(number, RpcError(GrpcStatus(status), details))
            case dict() if len(fields) == 1 and _FACTS.keys() >= fields.keys():
                ((word, value),) = fields.items()
                setattr(self, _FACTS[word], value)
                self._changed()
            case _:
                raise ValueError("no such word")

    def _settle(self, number: int, answer: bytes | RpcError) -> None:
        waiting = self._asked.get(number)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, RpcError):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    async def _feed(self) -> None:
        """Send what is to be fed, a piece at a time and as fast as it is taken; `feed` may bring another meanwhile."""
        with contextlib.suppress(OSError):  # `_hear` tells
            while True:
                await self._hungry.wait()
                self._hungry.clear()
                while piece := next(self._to_feed, b""):
                    await self._pipe.send_piece(piece)
                    await asyncio.sleep(0)

    def _over(self) -> None:
        self.serving = self.healthy = False
        self._heard.gone()
        for number in list(self._asked):
            self._settle(number, RpcError(GrpcStatus.UNAVAILABLE, "the worker that was asked has ended"))
        self._changed()


def _in_words(code: int) -> str:
    if code >= 0:
        return f"it ended with code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
