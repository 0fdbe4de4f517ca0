"""The stores that are reached over a network, by BACKEND_TYPE."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ratelimit.limiter.counter_store import CounterStore
from ratelimit.metrics import StoreStats
from ratelimit.settings import Settings
from ratelimit.stores.memcached.store import MemcachedStore
from ratelimit.stores.redis.store import RedisStore


class RemoteStore(CounterStore, Protocol):
    """A `CounterStore` that connects. `gave_up` gets a StoreError where it stops trying."""

    gave_up: asyncio.Future[None]

    async def start(self) -> None: ...

    async def close(self) -> None: ...


def remote_store(settings: Settings, stats: StoreStats, on_state: Callable[[bool], None]) -> RemoteStore | None:
    """The store of `settings`, None where counters stay in this process; `on_state` is told as it comes and goes."""
    prefix = settings.limiter.cache_key_prefix
    match settings.limiter.backend_type:
        case "redis":
            return RedisStore(settings.redis, stats, on_state, prefix)
        case "memcache":
            return MemcachedStore(settings.memcache, stats, on_state, prefix)
    return None
