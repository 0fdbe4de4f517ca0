"""One script call on one node: by its name, and by its text where the node does not know the name.

Sent again is only what provably did not run: NOSCRIPT answers before the script starts, so that one command goes out
once more, as EVAL, within the batch's own deadline.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ratelimit.limiter.counter_store import Batch, Hit, Results
from ratelimit.stores.redis.commands import Script, is_unknown
from ratelimit.stores.redis.pipeline import RedisPipeline


class Settles(Protocol):
    """Whoever sends calls and makes results of their replies."""

    def settle(self, call: "ScriptCall", reply: Any) -> Results | None: ...


class ScriptCall:
    """`done` gets its results, unless the sender keeps the call for later: then `settle` says None."""

    __slots__ = ("_done", "_script", "_sender", "batch", "hits", "pipeline", "tries")
    tries_max = 2

    def __init__(
        self,
        sender: Settles,
        pipeline: RedisPipeline,
        what: tuple[Script, Sequence[Hit]],
        batch: Batch,
        done: Callable[[Results], None],
    ) -> None:
        self._sender = sender
        self.pipeline = pipeline
        self._script, self.hits = what
        self.batch = batch
        self._done = done
        self.tries = 1

    def send(self) -> None:
        """Call the script by its name."""
        self._write((b"EVALSHA", self._script.sha, *self._script.arguments(self.hits)), self.replied)

    def send_again(self, sender: Settles, pipeline: RedisPipeline) -> None:
        """Send it once more, after an answer that shows that it did not run."""
        self._sender, self.pipeline = sender, pipeline
        self.tries += 1
        self.send()

    def finish(self, results: Results) -> None:
        """Tell the results of a call that was kept."""
        self._done(results)

    def replied(self, reply: Any) -> None:
        """Take the first reply in."""
        if is_unknown(reply) and self.pipeline.writable:
            self._write((b"EVAL", self._script.text, *self._script.arguments(self.hits)), self._answered)
        else:
            self._answered(reply)

    def _write(self, command: tuple[Any, ...], reply: Callable[[Any], None]) -> None:
        self.pipeline.send(command, self.batch.deadline, reply)

    def _answered(self, reply: Any) -> None:
        results = self._sender.settle(self, reply)
        if results is not None:
            self._done(results)
