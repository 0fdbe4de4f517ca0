"""Which nodes hold the counters: one server, here; other shapes are files of their own."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings.redis_place import RedisPlace
from ratelimit.stores.redis.connect import Dial
from ratelimit.stores.redis.node import NodeOptions, RedisNode


class Topology(Protocol):
    """The nodes of one store, connected, and a batch's way to them.

    `connected` tells whether hits can be counted; `gave_up` gets a StoreError where the start took too long.
    """

    gave_up: asyncio.Future[None]

    @property
    def connected(self) -> bool: ...

    def start(self) -> None: ...

    async def close(self) -> None: ...

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None: ...

    def node_of(self, _name: bytes) -> RedisNode | None:
        """The node that has a key, None where none is known."""

    def note_old(self) -> None:
        """Take in that a node said that it has not what `node_of` says."""


class Single:
    """One server has all keys: nothing is looked up, a batch goes straight to its node."""

    def __init__(
        self, place: RedisPlace, options: NodeOptions, stats: StoreStats, on_state: Callable[[bool], None]
    ) -> None:
        self._dial = Dial(place.servers[0], place.tls)
        self.node = RedisNode(self.resolve, options, stats, on_state)
        self.gave_up = self.node.gave_up
        self.start, self.close, self.count = self.node.start, self.node.close, self.node.count

    @property
    def connected(self) -> bool:
        """Whether the node is ready to count."""
        return self.node.pipeline is not None

    def node_of(self, _name: bytes) -> RedisNode:
        """The one there is."""
        return self.node

    def note_old(self) -> None:
        """There is no other."""

    async def resolve(self) -> Dial:
        """Where the server is: its name is looked up again whenever it is dialled."""
        return self._dial
