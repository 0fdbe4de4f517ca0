"""Counters in Redis or Valkey, whatever the shape: one server, the master that sentinels name, or a Cluster."""

import asyncio
from collections.abc import Callable

from ratelimit.clock import FollowingClock
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings.redis_place import RedisPlace
from ratelimit.stores.redis.cluster import Cluster
from ratelimit.stores.redis.node import NodeOptions
from ratelimit.stores.redis.sentinel import Sentinels
from ratelimit.stores.redis.topology import Single, Topology

SHAPES: dict[str, Callable[[RedisPlace, NodeOptions, StoreStats, Callable[[bool], None]], Topology]] = {
    "SINGLE": Single,
    "SENTINEL": Sentinels,
    "CLUSTER": Cluster,
}


class RedisStore:
    """A `CounterStore`. `on_state` is called with True and False as it becomes ready or is lost, `clock` follows it.

    `count(batch, done)` is the topology's own, so that one server costs no call more.
    """

    count: Callable[[Batch, Callable[[Results], None]], None]

    def __init__(
        self,
        place: RedisPlace,
        stats: StoreStats,
        on_state: Callable[[bool], None],
        prefix: str = "",
        *,
        clock: FollowingClock | None = None,
    ) -> None:
        options = NodeOptions(place.timeout_s, prefix, place.startup, place.variable, clock)
        self.topology: Topology = SHAPES[place.topology](place, options, stats, on_state)
        self.count = self.topology.count

    @property
    def connected(self) -> bool:
        """Whether it is ready to count."""
        return self.topology.connected

    @property
    def gave_up(self) -> asyncio.Future[None]:
        """Gets a StoreError where REDIS_STARTUP_MAX_ELAPSED_TIME passes without a first connection."""
        return self.topology.gave_up

    async def start(self) -> None:
        """Connect in the background and stay connected."""
        self.topology.start()

    async def close(self) -> None:
        """Close; what waits is failed."""
        await self.topology.close()
