"""Asking a Cluster for its map, in the background: at the start until a node answers, then whenever it may be old.

Nodes that count are asked first, in any order, then those that the settings name, another one first each time: so a
node that is cut off and knows only the past cannot hold the store for ever. However often the map is said to be old,
it is asked for about once a second at most, a little apart at random so that instances do not ask together.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog

from ratelimit.lifetime import end_tasks
from ratelimit.settings.redis_place import RedisPlace
from ratelimit.stores.redis.connect import Dial, RefusedError, ask
from ratelimit.stores.redis.node import RECONNECT_INITIAL_S
from ratelimit.stores.redis.slots import SlotRange, slot_ranges

# A node that is gone must not hold a try for much longer than the Cluster needs to replace it.
STEP_TIMEOUT_S = 0.8
ASK_EVERY_S = 1.0

_log = structlog.get_logger(__name__)


class ClusterMap:
    """`use` gets each map; `counting` says which nodes count now. `reason` is why there is none, for people."""

    def __init__(
        self, place: RedisPlace, counting: Callable[[], Sequence[Dial]], use: Callable[[Sequence[SlotRange]], None]
    ) -> None:
        self._seeds = [Dial(server, place.tls, STEP_TIMEOUT_S) for server in place.servers]
        self._startup = place.startup
        self._counting = counting
        self._use = use
        self._old = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._troubled = False
        self.reason = "not asked yet"

    def start(self) -> None:
        """Begin to ask."""
        self._task = asyncio.create_task(self._stay_informed())

    async def close(self) -> None:
        """Ask no more."""
        await end_tasks(self._task)

    def note_old(self) -> None:
        """Something showed that the map is old: ask again."""
        self._old.set()

    async def fetch(self) -> list[SlotRange]:
        """The map, as the first node has it that answers. Raises OSError with what the last one said."""
        trouble = OSError("no node is named")
        counting = list(self._counting())
        random.shuffle(counting)
        self._seeds.append(self._seeds.pop(0))
        for dial in (*counting, *self._seeds):
            try:
                (answer,) = await ask(dial, ("CLUSTER", "SLOTS"))
                return slot_ranges(answer, dial.target.host)
            except OSError as error:
                trouble = type(error)(f"node {dial.target.shown}: {error}")
        raise trouble

    async def _stay_informed(self) -> None:
        wait_s = max(RECONNECT_INITIAL_S, self._startup.initial_s)
        most_s = max(RECONNECT_INITIAL_S, self._startup.most_s)
        while True:
            self._old.clear()
            try:
                ranges = await self.fetch()
            except Exception as error:  # noqa: BLE001 - whatever a node says, the next try may succeed
                self._note_trouble(error)
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - it spreads the tries
                wait_s = min(wait_s * 2, most_s)
                continue
            if self._troubled:
                _log.warning("the Cluster's map can be had again")
            self.reason, self._troubled = "", False
            wait_s = most_s = ASK_EVERY_S
            self._use(ranges)
            await asyncio.sleep(ASK_EVERY_S * random.uniform(0.5, 1.0))  # noqa: S311 - likewise
            await self._old.wait()

    def _note_trouble(self, error: Exception) -> None:
        """One line when the map cannot be had, and one more where a person must do something."""
        reason = str(error) or type(error).__name__
        if reason != self.reason:
            news = not self._troubled or isinstance(error, RefusedError)
            (_log.warning if news else _log.info)("the Cluster's map cannot be had", reason=reason)
            self.reason, self._troubled = reason, True
