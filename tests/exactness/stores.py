"""Stores for the exactness runs: made in one place, as worker.py makes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from deploy.demo.processes import LOOPBACK
from ratelimit.metrics import StoreStats
from ratelimit.settings import RedisSettings
from ratelimit.stores.redis.store import RedisStore

PATIENT_S = 60.0


@dataclass(slots=True)
class Held:
    """A store, its metrics, and whether it is ready."""

    store: RedisStore
    stats: StoreStats
    ready: asyncio.Event

    async def until_ready(self) -> None:
        """Wait for its connection."""
        async with asyncio.timeout(PATIENT_S):
            await self.ready.wait()


@asynccontextmanager
async def redis_store(port: int, timeout_s: float) -> AsyncIterator[Held]:
    """A store that is ready, on the server at `port`."""
    settings = RedisSettings.model_validate(
        {"redis_socket_type": "tcp", "redis_url": f"{LOOPBACK}:{port}", "redis_timeout": timeout_s}
    )
    stats, ready = StoreStats(), asyncio.Event()
    store = RedisStore(settings.place, stats, lambda state: ready.set() if state else ready.clear(), "")
    held = Held(store, stats, ready)
    await store.start()
    try:
        await held.until_ready()
        yield held
    finally:
        await store.close()
