"""One connection to Redis or Valkey that many batches share: commands go out as they come, replies come back in order.

Theory. RESP answers in the order of the commands, so a queue of slots tells whose reply is the next. A slot is never
taken out of its turn: one whose deadline passed is told at once and left in place, empty, so its late reply is
swallowed there and every other one still finds its own slot. Deadlines are not in the order of the queue (what is sent
a second time keeps its first deadline), so all slots are looked at; one timer, set for the earliest, serves them all.

A server that says nothing for `silence_s` while something waits is given up: the connection ends, and what was written
and not answered has an unknown outcome.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis
import structlog

from ratelimit.errors import StoreError
from ratelimit.metrics import StoreStats
from ratelimit.stores.refusals import LATE

Reply = Callable[[Any], None]

# The breaker stops a server that is slow long before; this bounds the memory where REDIS_TIMEOUT is long.
OUTSTANDING_MAX = 10_000

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Slot:
    reply: Reply | None
    deadline: float
    missing = 1

    def take(self, answer: Any) -> None:
        """Give it its answer, once. A callback that raises must not cost its neighbours their connection."""
        reply, self.reply = self.reply, None
        if reply is None:
            return
        try:
            reply(answer)
        except Exception:  # noqa: BLE001 - see above
            _log.exception("what was done with a reply of the store raised")

    def fail(self, error: StoreError) -> None:
        """There is no answer."""
        self.take(error)


class _Slots(_Slot):
    """A slot for several replies: it stands in the queue once for each of them."""

    __slots__ = ("_answers", "missing")

    def __init__(self, reply: Reply, deadline: float, count: int) -> None:
        super().__init__(reply, deadline)
        self.missing = count
        self._answers: list[Any] = []

    def take(self, answer: Any) -> None:
        self._answers.append(answer)
        self.missing -= 1
        if self.missing == 0:
            super().take(self._answers)

    def fail(self, error: StoreError) -> None:
        super().take([*self._answers, *[error] * self.missing])


class RedisPipeline(asyncio.Protocol):
    """The protocol of one open connection. `on_lost` is called once when it ends, with a reason for people."""

    def __init__(self, silence_s: float, stats: StoreStats, on_lost: Callable[[str], None]) -> None:
        self._silence_s = silence_s
        self._stats = stats
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._slots: deque[_Slot] = deque()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.Handle | None = None
        # A handle of uvloop does not always know when it is due, so that is kept beside it.
        self._timer_at = math.inf
        self._lost_reason = ""
        self._last_words = ""
        self._lost = False
        self._paused = False

    @property
    def ended(self) -> bool:
        """Whether the connection is lost or given up."""
        return self._lost

    @property
    def writable(self) -> bool:
        """Whether a command can go out now: connected, and the server takes and answers what was written before."""
        shut = self._lost or self._paused or self._transport is None or self._last_words
        return not shut and len(self._slots) < OUTSTANDING_MAX

    def send(self, command: Sequence[Any], deadline: float, reply: Reply) -> None:
        """Write one command. Only while writable.

        `reply` gets its reply, a hiredis.ReplyError, or a StoreError when `deadline` (in the loop's time) passed or
        the connection ended.
        """
        assert self._transport is not None  # noqa: S101 - `writable` says when
        self._slots.append(_Slot(reply, deadline))
        self._transport.write(hiredis.pack_command(tuple(command)))
        if deadline < self._timer_at:
            self._wake_at(deadline)

    def send_many(self, packed: bytes, count: int, deadline: float, replies: Callable[[list[Any]], None]) -> None:
        """Write `count` commands that are packed already, at once. Only while writable.

        `replies` gets the replies together, in order, each as `send` has it: some may be there when the others fail.
        """
        assert self._transport is not None  # noqa: S101 - likewise
        self._slots.extend([_Slots(replies, deadline, count)] * count)
        self._transport.write(packed)
        if deadline < self._timer_at:
            self._wake_at(deadline)

    def finish(self, reason: str) -> None:
        """Take no more, and give the connection up when everything sent is answered."""
        self._last_words = reason
        if not self._slots:
            self.close(reason)

    def close(self, reason: str) -> None:
        """Give the connection up; what waits is told at once."""
        if self._lost:
            return
        self._lost_reason = reason
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if not self._slots:
                    self.close("the server answered what was not asked")
                    return
                self._slots.popleft().take(answer)
        except hiredis.ProtocolError as error:
            self.close(f"the server does not speak RESP: {error}")
        if self._last_words and not self._slots:
            self.close(self._last_words)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(self._lost_reason or str(exc or "the server closed the connection"))

    def pause_writing(self) -> None:
        """The server does not take more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The server takes more again."""
        self._paused = False

    def _end(self, reason: str) -> None:
        if self._lost:
            return
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        slots, self._slots = self._slots, deque()
        error = StoreError("lost the connection to the store", outcome_unknown=True)
        for slot in slots:
            slot.fail(error)
        self._on_lost(reason)

    def _wake_at(self, when: float) -> None:
        """Look at the deadlines at `when` or earlier."""
        if when >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._look_at_deadlines)

    def _look_at_deadlines(self) -> None:
        # A reply may lie in the socket already: let the loop read it before judging.
        self._loop.call_soon(self._loop.call_soon, self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._lost or not self._slots:
            return
        now = self._loop.time()
        following = math.inf
        for slot in list(self._slots):  # a reply may send, and so lengthen the queue
            if slot.reply is None:
                continue
            if slot.deadline > now:
                following = min(following, slot.deadline)
                continue
            self._stats.timeouts += slot.missing
            slot.fail(StoreError(LATE, outcome_unknown=True))
        if not self._slots or self._lost:
            return
        silent_until = self._slots[0].deadline + self._silence_s
        if silent_until <= now:
            self.close(f"no answer for {self._silence_s:g} s")
        else:
            self._wake_at(min(following, silent_until))
