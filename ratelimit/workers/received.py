"""A worker's configurations: received piece by piece, put in force as one, let go of piece by piece."""

from collections.abc import Sequence
from typing import Any

from ratelimit.descriptors.tree import Config, Node
from ratelimit.sources.handover import Receiver
from ratelimit.sources.reader_process import release


class Received:
    """The configuration that is on its way or waits to be put in force, and the nodes of the one that is."""

    def __init__(self) -> None:
        self._receiver = Receiver()
        self._whole = 0
        self._in_force: list[list[Node]] = []

    async def begin(self) -> None:
        """Another one follows: what came before it and is not in force is void."""
        void, self._receiver, self._whole = self._receiver, Receiver(), 0
        void.domains.clear()
        await release(void.pieces)

    def take(self, rows: Sequence[Any]) -> None:
        """A piece of it."""
        self._receiver.take(rows)

    def whole(self, generation: int) -> None:
        """That was all of it."""
        self._whole = generation

    def get(self, generation: int) -> Config | None:
        """The configuration, once; None where it is not the one that waits."""
        if generation != self._whole:
            return None
        self._whole = 0
        return Config(self._receiver.domains, (), self._receiver.limits)

    async def in_force(self) -> None:
        """What `get` gave is in force: let go of the one before."""
        before, self._in_force = self._in_force, self._receiver.pieces
        self._receiver = Receiver()
        await release(before)
