import pytest

from ratelimit.metrics import Metrics
from ratelimit.settings import load_settings
from ratelimit.stores.choice import choose_store
from ratelimit.stores.memcached.store import MemcachedStore
from ratelimit.stores.memory import MemoryStore
from ratelimit.stores.per_second import PerSecondStore
from ratelimit.stores.redis.store import RedisStore


@pytest.mark.parametrize(
    ("environ", "kind", "remote"),
    [
        ({}, RedisStore, [RedisStore]),
        ({"REDIS_TYPE": "CLUSTER", "REDIS_URL": "a:1,b:2"}, RedisStore, [RedisStore]),
        ({"REDIS_PERSECOND": "true"}, PerSecondStore, [RedisStore, RedisStore]),
        ({"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "127.0.0.1:11211"}, MemcachedStore, [MemcachedStore]),
        ({"BACKEND_TYPE": "memory"}, MemoryStore, []),
    ],
)
async def test_the_settings_name_the_store(environ: dict[str, str], kind: type, remote: list[type]) -> None:
    """Memory is no store to connect to; nothing is dialled before the start."""
    states: list[bool] = []
    metrics = Metrics()
    chosen = choose_store(load_settings(environ), metrics, states.append, None)
    assert ("ratelimit.memcache.keys_found" in metrics.snapshot().singles) is (kind is MemcachedStore)
    assert isinstance(chosen.store, kind)
    assert [type(each) for each in chosen.remote] == remote
    assert (chosen.ledgers is not None) is (kind in (RedisStore, PerSecondStore))
    assert states == []
