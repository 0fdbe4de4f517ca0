"""The master that sentinels name: asked anew for every connection, so also after a loss and after READONLY.

They are asked one after the other, another one first each time: one that is cut off and names a master of the past
cannot hold the store for ever. Whether what they name counts is seen as with any server: a replica is not ready.
"""

from collections.abc import Callable
from typing import Any

from ratelimit.metrics import StoreStats
from ratelimit.settings.redis_place import RedisPlace, with_login
from ratelimit.settings.redis_url import RedisTarget
from ratelimit.stores.redis.connect import Dial, ask
from ratelimit.stores.redis.node import NodeOptions, RedisNode

# A master that is gone must not hold a try for much longer than the sentinels need to name another.
STEP_TIMEOUT_S = 0.8


class Sentinels:
    """A `Topology` of one node, the present master."""

    def __init__(
        self, place: RedisPlace, options: NodeOptions, stats: StoreStats, on_state: Callable[[bool], None]
    ) -> None:
        self._place = place
        self._sentinels = [Dial(server, place.tls, STEP_TIMEOUT_S) for server in place.servers]
        self.node = RedisNode(self.resolve, options, stats, on_state)
        self.gave_up = self.node.gave_up
        self.start, self.close, self.count = self.node.start, self.node.close, self.node.count

    @property
    def connected(self) -> bool:
        """Whether the master is ready to count."""
        return self.node.pipeline is not None

    def node_of(self, _name: bytes) -> RedisNode:
        """The master."""
        return self.node

    def note_old(self) -> None:
        """The sentinels are asked at each connection."""

    async def resolve(self) -> Dial:
        """Where the master is now. Raises OSError with what the last sentinel said."""
        trouble = OSError("no sentinel")
        asked = list(self._sentinels)
        self._sentinels = [*asked[1:], asked[0]]
        for sentinel in asked:
            try:
                (answer,) = await ask(sentinel, ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._place.master))
                target = with_login(_address(answer), self._place.login)
            except OSError as error:
                trouble = type(error)(f"sentinel {sentinel.target.shown}: {error}")
                continue
            return Dial(target, self._place.tls, STEP_TIMEOUT_S)
        raise trouble


def _address(answer: Any) -> RedisTarget:
    match answer:
        case None:
            raise OSError("knows no master of this name")
        case [bytes(host), bytes(port)] if port.isdigit():
            return RedisTarget(host.decode(errors="replace"), int(port))
    raise OSError("sent an odd reply")
