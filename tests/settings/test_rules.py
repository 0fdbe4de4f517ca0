import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import load_settings


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_TYPE": "CLUSTER", "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "host:1/3"},
        {"REDIS_PERSECOND_URL": "a,b", "REDIS_PERSECOND_SOCKET_TYPE": "tcp", "REDIS_PERSECOND": "true"},
        {"REDIS_TYPE": "SENTINEL", "REDIS_URL": "host:26379"},
        {"REDIS_URL": "redis:6379"},
        {"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": ""},
        {"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "a:1", "MEMCACHE_SRV": "_memcache._tcp.example.org"},
        {"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "a:1,b"},
        {"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": ":11211"},
        {"BACKEND_TYPE": "memcache", "MEMCACHE_SRV": "example.org"},
        {"TRACING_ENABLED": "true", "TRACING_EXPORTER_PROTOCOL": "x"},
        {"USE_DOG_STATSD": "true", "USE_STATSD": "true"},
        {"GRPC_SERVER_USE_TLS": "true"},
        {"USE_STATSD": "true", "USE_PROMETHEUS": "true"},
        {"BACKEND_TYPE": "memory", "WORKERS": "4"},
        {"STORE_CLOCK": "redis", "BACKEND_TYPE": "memory"},
        {"BACKEND_TYPE": "memory", "WORKERS": "auto"},
        {"GRPC_UDS": "/run/x", "WORKERS": "2"},
    ],
    ids=str,
)
def test_what_is_not_done_is_refused_by_name(environ: dict[str, str]) -> None:
    """Nothing that changes decisions is silently ignored."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert caught.value.problems[0][0] in {*environ, "GRPC_SERVER_TLS_CERT"}


def test_a_rule_of_what_is_off_is_not_looked_at() -> None:
    """A deployment may carry the variables of a store that it left."""
    environ = {"REDIS_TYPE": "x", "REDIS_SOCKET_TYPE": "y", "REDIS_URL": "", "REDIS_POOL_SIZE": "-1"}
    assert load_settings({**environ, "BACKEND_TYPE": "memory"}).redis.redis_type == "X"
    with pytest.raises(SettingsError) as caught:
        load_settings(environ)
    assert {name for name, _ in caught.value.problems} == environ.keys() - {"REDIS_URL"}


def test_a_message_of_the_second_store_names_its_own_variables() -> None:
    """Not those of the first."""
    environ = {"REDIS_PERSECOND": "true", "REDIS_PERSECOND_URL": "redis:6379"}
    with pytest.raises(SettingsError, match="REDIS_PERSECOND_SOCKET_TYPE is unix"):
        load_settings(environ)
