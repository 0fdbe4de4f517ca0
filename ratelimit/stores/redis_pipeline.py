"""One connection to Redis that many batches share: commands go out, replies come back in the same order.

Each command has a slot in a FIFO. A reply goes to the slot at its head at once, without a task or a future. A slot
whose deadline passed is answered with an error and stays, so that its late reply is swallowed and every other one
still finds its own slot. One timer serves the whole FIFO, since all slots have the same deadline after being sent.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis

from ratelimit.errors import StoreError
from ratelimit.metrics import StoreStats

Reply = Callable[[Any], None]


@dataclass(slots=True)
class _Slot:
    reply: Reply | None
    deadline: float


class RedisPipeline(asyncio.Protocol):
    """The protocol of one open connection. `on_lost` is called once when it ends, with a reason for people.

    `timeout_s` bounds each command, `silence_s` how long the server may say nothing while something waits: then the
    connection is given up.
    """

    def __init__(self, timeout_s: float, silence_s: float, stats: StoreStats, on_lost: Callable[[str], None]) -> None:
        self._timeout_s = timeout_s
        self._silence_s = silence_s
        self._stats = stats
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._slots: deque[_Slot] = deque()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost_reason = ""
        self._lost = False
        self._paused = False

    @property
    def writable(self) -> bool:
        """Whether a command can go out now: connected, and the server takes what was written before."""
        return not (self._lost or self._paused)

    def send(self, command: Sequence[Any], reply: Reply) -> None:
        """Write one command; `reply` gets its reply, a hiredis.ReplyError, or a StoreError. Only while writable."""
        assert self._transport is not None  # noqa: S101 - `writable` says when
        self._slots.append(_Slot(reply, self._loop.time() + self._timeout_s))
        self._transport.write(hiredis.pack_command(tuple(command)))
        self._wake_at(self._slots[-1].deadline)

    def close(self, reason: str) -> None:
        """Give the connection up; what waits is told at once."""
        if self._lost:
            return
        self._lost_reason = reason
        if self._transport is not None:
            self._transport.abort()
        self._end(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Give each reply to its slot."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                if not self._slots:
                    self.close("the server answered what was not asked")
                    return
                slot = self._slots.popleft()
                if slot.reply is not None:
                    slot.reply(answer)
        except hiredis.ProtocolError as error:
            self.close(f"the server does not speak RESP: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """End; what was written and not answered may have been counted."""
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
        error = StoreError(f"lost the connection to the store: {reason}", outcome_unknown=True)
        for slot in slots:
            if slot.reply is not None:
                slot.reply(error)
        self._on_lost(reason)

    def _look_at_deadlines(self) -> None:
        # A reply may lie in the socket already: let the loop read it before judging.
        self._loop.call_soon(self._loop.call_soon, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._lost:
            return
        now = self._loop.time()
        error = StoreError(f"the store did not answer within {self._timeout_s * 1000:g} ms", outcome_unknown=True)
        following = None
        for slot in self._slots:
            if slot.deadline > now:
                following = slot.deadline
                break
            if slot.reply is not None:
                reply, slot.reply = slot.reply, None
                self._stats.timeouts += 1
                reply(error)
        if self._slots and now - self._slots[0].deadline > self._silence_s:
            self.close(f"no answer for {self._silence_s + self._timeout_s:g} s")
        elif self._slots and not self._lost:
            self._wake_at(following or now + self._silence_s / 4)

    def _wake_at(self, when: float) -> None:
        """Look at the deadlines at `when` or earlier."""
        if self._timer is not None:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look_at_deadlines)
