"""One connection to a memcached server that many batches share: commands go out as they come, replies come in order.

As in stores/redis/pipeline.py, a slot is never taken out of its turn: one whose deadline passed is told at once and
left in place, so that its late replies are swallowed there. A slot here holds the commands of a batch for this server,
since memcached answers each command on its own: what was answered before a deadline or a loss is known, the rest is an
unknown outcome.

A server that says nothing for `silence_s` while something waits is given up.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from ratelimit.errors import StoreError
from ratelimit.metrics import StoreStats
from ratelimit.stores.groups import Answer
from ratelimit.stores.memcached.commands import OddReplyError, Replies
from ratelimit.stores.refusals import LATE

OUTSTANDING_MAX = 100_000

Reply = Callable[[list[Answer]], None]

_log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Slot:
    commands: int
    deadline: float
    reply: Reply | None
    answers: list[Answer] = field(default_factory=list)


class MemcachedPipeline(asyncio.Protocol):
    """The protocol of one open connection. `on_lost` is called once when it ends, with a reason for people."""

    def __init__(self, silence_s: float, stats: StoreStats, on_lost: Callable[[str], None]) -> None:
        self._silence_s = silence_s
        self._stats = stats
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._replies = Replies()
        self._slots: deque[_Slot] = deque()
        self._outstanding = 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.Handle | None = None
        # A handle of uvloop does not always know when it is due, so that is kept beside it.
        self._timer_at = math.inf
        self._lost_reason = ""
        self._lost = False
        self._paused = False

    @property
    def writable(self) -> bool:
        """Whether commands can go out now: connected, and not too many wait already."""
        return not (self._lost or self._paused or self._transport is None or self._outstanding >= OUTSTANDING_MAX)

    def send(self, commands: Sequence[bytes], deadline: float, reply: Reply) -> None:
        """Write commands, at least one. Only while writable.

        `reply` gets one answer per command, in order: a StoreError for those that had none when `deadline` (in the
        loop's time) passed or the connection ended.
        """
        assert self._transport is not None  # noqa: S101 - `writable` says when
        self._slots.append(_Slot(len(commands), deadline, reply))
        self._outstanding += len(commands)
        self._transport.write(b"".join(commands))
        if deadline < self._timer_at:
            self._wake_at(deadline)

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
        try:
            for answer in self._replies.feed(data):
                if not self._slots:
                    self.close("the server answered what was not asked")
                    return
                slot = self._slots[0]
                slot.answers.append(answer)
                self._outstanding -= 1
                if len(slot.answers) == slot.commands:
                    self._slots.popleft()
                    _tell(slot)
        except OddReplyError as error:
            self.close(str(error))

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
            _tell(slot, error)
        self._on_lost(reason)

    def _wake_at(self, when: float) -> None:
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
        silent_until = self._slots[0].deadline + self._silence_s
        for slot in list(self._slots):  # a reply may send, and so lengthen the queue
            if slot.reply is not None and slot.deadline <= now:
                self._stats.timeouts += 1
                _tell(slot, StoreError(LATE, outcome_unknown=True))
        if silent_until <= now:
            self.close(f"no answer for {self._silence_s:g} s")
        if not self._lost and self._slots:
            following = min((slot.deadline for slot in self._slots if slot.reply is not None), default=math.inf)
            self._wake_at(min(following, silent_until))


def _tell(slot: _Slot, error: StoreError | None = None) -> None:
    """Give a slot its answers, once. A callback that raises must not cost its neighbours their connection."""
    reply, slot.reply = slot.reply, None
    if reply is None:
        return
    missing = slot.commands - len(slot.answers)
    try:
        reply([*slot.answers, *([error] * missing if error is not None else ())])
    except Exception:  # noqa: BLE001 - see above
        _log.exception("what was done with a reply of the store raised")
