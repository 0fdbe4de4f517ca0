"""The clock of a server, asked for on the connection that counts: TIME, once a second for as long as it is open."""

import asyncio
import time
from typing import Any, Protocol

ASK_EVERY_S = 1.0


class Connection(Protocol):
    """What is asked on: a `RedisPipeline`."""

    @property
    def ended(self) -> bool: ...

    @property
    def writable(self) -> bool: ...

    def send(self, command: tuple[bytes, ...], deadline: float, reply: Any) -> None: ...


class Hears(Protocol):
    """Who wants to know the time there: a `FollowingClock`."""

    def hear(self, told: float, asked_at: float, heard_at: float) -> None: ...


class StoreTime:
    """Tells `clock` what a server's clock says; an answer that comes later than `timeout_s` is none."""

    def __init__(self, clock: Hears, timeout_s: float) -> None:
        self._clock = clock
        self._timeout_s = timeout_s

    def follow(self, connection: Connection) -> None:
        """Ask now, and every ASK_EVERY_S until the connection ends."""
        if connection.ended:
            return
        loop = asyncio.get_running_loop()
        loop.call_later(ASK_EVERY_S, self.follow, connection)
        if connection.writable:
            # Not the loop's time: that of uvloop is read once per round, and in milliseconds.
            asked_at = time.monotonic()
            connection.send((b"TIME",), loop.time() + self._timeout_s, lambda reply: self._told(reply, asked_at))

    def _told(self, reply: Any, asked_at: float) -> None:
        match reply:
            case [bytes(seconds), bytes(microseconds)]:
                self._clock.hear(int(seconds) + int(microseconds) / 1e6, asked_at, time.monotonic())
