"""Which store counts, by BACKEND_TYPE and REDIS_PERSECOND."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ratelimit.clock import FollowingClock
from ratelimit.limiter.counter_store import CounterStore
from ratelimit.metrics import Metrics, StoreStats
from ratelimit.quota.ledger_store import LedgerStore
from ratelimit.settings import Settings
from ratelimit.stores.memcached.store import MemcachedStore
from ratelimit.stores.memory import MemoryStore
from ratelimit.stores.per_second import BothReady, PerSecondStore
from ratelimit.stores.redis.ledgers import RedisLedgers
from ratelimit.stores.redis.store import RedisStore


class RemoteStore(CounterStore, Protocol):
    """A `CounterStore` that connects. `gave_up` gets a StoreError where it stops trying."""

    @property
    def gave_up(self) -> asyncio.Future[None]: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """The store that counts, and what of it connects: nothing for counters in this process, two for REDIS_PERSECOND.

    `ledgers` is where replicas share the ledgers of divided limits, None where they cannot.
    """

    store: CounterStore
    remote: tuple[RemoteStore, ...] = ()
    ledgers: LedgerStore | None = None


def choose_store(
    settings: Settings, metrics: Metrics, on_state: Callable[[bool], None], clock: FollowingClock | None
) -> Chosen:
    """The store of `settings`; `on_state` is told as it comes and goes, `clock` what time it is at the main one."""
    prefix = settings.limiter.cache_key_prefix
    match settings.limiter.backend_type:
        case "memory":
            return Chosen(MemoryStore(settings.limiter.memory_store_bytes_max))
        case "memcache":
            memcached = MemcachedStore(settings.memcache, metrics.store, on_state, prefix)
            metrics.memcache = memcached.asked
            return Chosen(memcached, (memcached,))
    redis = settings.redis
    if redis.persecond_place is None:
        main = RedisStore(redis.place, metrics.store, on_state, prefix, clock=clock)
        return Chosen(main, (main,), RedisLedgers(main.topology, prefix))
    both, stats = BothReady(on_state), StoreStats()
    metrics.per_second_store = stats
    # Limits per second follow the main store's clock too: a request has one moment.
    main = RedisStore(redis.place, metrics.store, partial(both.changed, 0), prefix, clock=clock)
    per_second = RedisStore(redis.persecond_place, stats, partial(both.changed, 1), prefix)
    timeouts_s = (redis.redis_timeout, redis.redis_persecond_timeout)
    both_stores = PerSecondStore(main, per_second, timeouts_s)
    return Chosen(both_stores, (main, per_second), RedisLedgers(main.topology, prefix))
