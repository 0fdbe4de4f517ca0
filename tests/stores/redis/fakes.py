"""A pipeline that keeps what is sent, for a test to answer."""

from collections.abc import Callable, Sequence
from typing import Any


class FakePipeline:
    """What is sent stands in `sent`, `answer` replies to the oldest."""

    def __init__(self) -> None:
        self.writable = True
        self.ended = False
        self.sent: list[tuple[Sequence[Any], float, Callable[[Any], None]]] = []
        self.closed = ""

    def send(self, command: Sequence[Any], deadline: float, reply: Callable[[Any], None]) -> None:
        """Keep a command."""
        self.sent.append((command, deadline, reply))

    def send_many(self, packed: bytes, count: int, deadline: float, replies: Callable[[list[Any]], None]) -> None:
        """Keep what is several commands; its reply is a list."""
        self.sent.append(((packed, count), deadline, replies))

    def close(self, reason: str) -> None:
        """Remember why."""
        self.writable, self.closed = False, reason

    def answer(self, reply: Any) -> Sequence[Any]:
        """Reply to the oldest command that has no reply yet, and return it."""
        command, _, told = self.sent.pop(0)
        told(reply)
        return command
