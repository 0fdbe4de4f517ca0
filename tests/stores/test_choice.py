import pytest

from ratelimit.metrics import StoreStats
from ratelimit.settings import load_settings
from ratelimit.stores.choice import remote_store
from ratelimit.stores.memcached.store import MemcachedStore
from ratelimit.stores.redis.store import RedisStore


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({}, RedisStore),
        ({"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "127.0.0.1:11211"}, MemcachedStore),
        ({"BACKEND_TYPE": "memory"}, type(None)),
    ],
)
async def test_the_backend_s_type_names_the_store(environ: dict[str, str], kind: type) -> None:
    """Memory is no store to connect to; nothing is dialled before the start."""
    states: list[bool] = []
    store = remote_store(load_settings(environ), StoreStats(), states.append)
    assert isinstance(store, kind)
    assert states == []
