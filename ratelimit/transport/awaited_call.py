"""A `Call` for whoever can wait: its end wakes a coroutine."""

import asyncio
import math
from typing import Any

from ratelimit.errors import RpcError


class AwaitedCall:
    """A `transport.methods.Call` that is awaited. Made inside the running event loop.

    `counted`: only what the store counted is an answer; an answer without the store is an error.
    """

    __slots__ = ("_ended", "counted", "deadline", "head", "peer", "waiting")

    def __init__(self, deadline: float = math.inf, head: Any = None, peer: str = "", *, counted: bool = False) -> None:
        self.counted = counted
        self.deadline = deadline
        self.head = head
        self.peer = peer
        self.waiting = True
        self._ended: asyncio.Future[bytes | RpcError] = asyncio.get_running_loop().create_future()

    def reply(self, message: bytes) -> None:
        self._end(message)

    def fail(self, error: RpcError) -> None:
        self._end(error)

    async def answer(self) -> bytes:
        """Wait for the end: the response's message. Raises RpcError."""
        try:
            answer = await self._ended
        finally:
            self.waiting = False  # a cancelled wait: nobody listens any more
        if isinstance(answer, RpcError):
            raise answer
        return answer

    def _end(self, answer: bytes | RpcError) -> None:
        self.waiting = False
        if not self._ended.done():
            self._ended.set_result(answer)
