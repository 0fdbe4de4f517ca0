"""The sans-IO core with methods behind it, for tests that feed it bytes and look at what it makes of them."""

from collections.abc import Iterable, Sequence
from typing import Any

from ratelimit.transport.calls import Call, deliver
from ratelimit.transport.connection import Connection
from ratelimit.transport.housekeeping import Caps
from ratelimit.transport.method_table import MethodTable
from tests.wire import frames
from tests.wire.grammar import PATHS

OPENING = frames.PREFACE + frames.settings()


class NoLane:
    """In the place of the fast lane: it takes nothing, so everything goes frame by frame."""

    def take(self, _: bytes, position: int) -> int:
        return position

    def table_changed(self) -> None:
        """Nothing to forget."""


class Core:
    """A server's side of one connection. Calls to direct methods are kept, and answered when the test says.

    `frames_seen` counts the frames that the fast lane left; without `lane` these are all.
    """

    def __init__(self, caps: Caps | None = None, *, opened: bool = True, lane: bool = True) -> None:
        table = MethodTable()
        for path in PATHS[:2]:
            table.add_direct(path.decode(), self._keep(path))
        self.connection = Connection(caps or Caps(), table.judge, Call, lambda: None)
        if not lane:
            self.connection._lane = NoLane()  # type: ignore[assignment]
        self._count_frames()
        self.connection.begin()
        self.calls: list[tuple[bytes, Any, bytes]] = []
        self.frames_seen = 0
        self.written = b""
        if opened:
            self.feed([OPENING])
            self.written = b""

    def _count_frames(self) -> None:
        handle = self.connection._frame

        def counted(*frame: Any) -> None:
            self.frames_seen += 1
            handle(*frame)

        self.connection._frame = counted  # type: ignore[method-assign,assignment]

    def _keep(self, path: bytes) -> Any:
        def method(calls: Sequence[Any], messages: Sequence[bytes]) -> None:
            self.calls += [(path, call, message) for call, message in zip(calls, messages, strict=True)]

        return method

    def feed(self, reads: Iterable[bytes]) -> None:
        """Take what came, read by read, as the asyncio glue does."""
        for read in reads:
            deliver(self.connection, self.connection.receive_data(read, 0.0))
            while self.connection.more:
                deliver(self.connection, self.connection.receive_more(0.0))
            self.written += self.connection.data_to_send()

    def waiting(self) -> list[tuple[int, bytes, bytes]]:
        """The calls that wait for an answer: their streams, paths and messages, by stream."""
        found = [(self._number(call), path, message) for path, call, message in self.calls if call.waiting]
        return sorted(found)

    def answer(self) -> None:
        """Answer every call, by stream, whether or not anybody waits."""
        for _, call, message in sorted(self.calls, key=lambda kept: self._number(kept[1])):
            call.reply(message)
        self.written += self.connection.data_to_send()

    def _number(self, call: Any) -> int:
        return int.from_bytes(call.stream_id, "big")
