"""The clock of a Cluster: that of one node, since those of several may differ.

All nodes are asked what time it is, and one is listened to: the owner of slot 0, which every instance knows to be the
same. While it is away another one is, and stays it until the owner of slot 0 is back or that one is lost too.
"""

from collections.abc import Callable

from ratelimit.stores.redis.slots import Address
from ratelimit.stores.redis.store_time import Hears


class ClusterClock:
    """`first` is the node to listen to, None while it is away; `counts` says whether a node is there."""

    def __init__(self, clock: Hears, first: Callable[[], Address | None], counts: Callable[[Address], bool]) -> None:
        self._clock = clock
        self._first = first
        self._counts = counts
        self._followed: Address | None = None

    def of(self, node: Address) -> "NodeClock":
        """What a node tells its time to."""
        return NodeClock(self, node)

    def hear(self, node: Address, told: float, asked_at: float, heard_at: float) -> None:
        """Take in what a node told, if it is the one to listen to."""
        first = self._first()
        if first is None and self._followed is not None and self._counts(self._followed):
            first = self._followed
        if first is None or first is node:
            self._followed = node
            self._clock.hear(told, asked_at, heard_at)


class NodeClock:
    """One node's way to the clock."""

    def __init__(self, cluster: ClusterClock, node: Address) -> None:
        self._cluster = cluster
        self._node = node

    def hear(self, told: float, asked_at: float, heard_at: float) -> None:
        """See `FollowingClock.hear`."""
        self._cluster.hear(self._node, told, asked_at, heard_at)
