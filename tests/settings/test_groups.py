import re
from pathlib import Path

import pytest

from ratelimit.errors import SettingsError
from ratelimit.settings import MetricsSettings, groups, load_settings
from ratelimit.settings.redis_url import RedisTarget

ROOT = Path(__file__).parents[2]
VARIABLES = sorted(field.upper() for group in groups().values() for field in group.model_fields)

PRESENT_DEPLOYMENT = {
    "RUNTIME_ROOT": "/data",
    "RUNTIME_SUBDIRECTORY": "ratelimit",
    "RUNTIME_WATCH_ROOT": "false",
    "RUNTIME_IGNOREDOTFILES": "true",
    "REDIS_SOCKET_TYPE": "tcp",
    "REDIS_URL": "redis:6379",
    "REDIS_TYPE": "single",
    "REDIS_POOL_SIZE": "20",
    "USE_STATSD": "false",
    "LOG_LEVEL": "DEBUG",
    "LOCAL_CACHE_SIZE_IN_BYTES": "0x400",
    "PATH": "/bin",
}


def test_a_present_deployment_simply_loads() -> None:
    """The usual environment of envoyproxy/ratelimit means what it meant."""
    settings = load_settings(PRESENT_DEPLOYMENT)
    assert settings.config.runtime_subdirectory == "ratelimit"
    assert settings.limiter.local_cache_size_in_bytes == 1024
    assert settings.log.log_level == "debug"
    assert settings.warnings == ()


def test_every_problem_is_named_at_once() -> None:
    """One restart is enough; secrets are not shown."""
    with pytest.raises(SettingsError) as caught:
        load_settings(
            {"PORT": "99999", "DRAIN_DELAY": "2", "REDIS_TLS": "yes", "LOG_FORMAT": "xml", "REDIS_AUTH": "s3cret"}
        )
    assert [name for name, _ in caught.value.problems] == ["PORT", "DRAIN_DELAY", "REDIS_TLS", "LOG_FORMAT"]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"REDIS_TYPE": "CLUSTER"},
        {"REDIS_PERSECOND_URL": "a,b", "REDIS_PERSECOND_SOCKET_TYPE": "tcp", "REDIS_PERSECOND": "true"},
        {"REDIS_TLS_CLIENT_CERT": "/cert.pem"},
        {"REDIS_TYPE": "SENTINEL", "REDIS_URL": "host:26379"},
        {"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": ""},
        {"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "a:1", "MEMCACHE_SRV": "_memcache._tcp.example.org"},
        {"MEMCACHE_HOST_PORT": "a:1,b"},
        {"MEMCACHE_HOST_PORT": ":11211"},
        {"MEMCACHE_SRV": "example.org"},
        {"CONFIG_TYPE": "GRPC_XDS_SOTW"},
        {"TRACING_ENABLED": "true", "TRACING_EXPORTER_PROTOCOL": "udp"},
        {"USE_DOG_STATSD": "true", "USE_STATSD": "true"},
        {"USE_DOG_STATSD": "true", "USE_PROMETHEUS": "true"},
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


@pytest.mark.parametrize(
    ("given", "prometheus", "statsd"),
    [
        ({}, True, False),
        ({"use_statsd": False}, True, False),
        ({"use_statsd": True}, False, True),
        ({"use_prometheus": False}, False, False),
        ({"disable_stats": True, "use_statsd": True, "use_prometheus": True}, False, False),
    ],
)
def test_one_sink(given: dict[str, bool], prometheus: bool, statsd: bool) -> None:
    """Prometheus unless something else is chosen; DISABLE_STATS wins."""
    settings = MetricsSettings.model_validate(given)
    assert (settings.prometheus_on, settings.statsd_on) == (prometheus, statsd)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GRPC_MAX_RECV_MSG_BYTES", "2147483648"),
        ("GRPC_MAX_CONNECTION_AGE", "9999999999h"),
        ("EXPIRATION_JITTER_MAX_SECONDS", "2147483648"),
        ("PROMETHEUS_ADDR", "localhost"),
        ("PROMETHEUS_ADDR", ""),
        ("PROMETHEUS_PATH", "/{"),
        ("LIMIT_RESET_HEADER", ""),
        ("GRPC_HOST", "127.0.0.1:8081"),
        ("REDIS_URL", "redis:6379"),
        ("WORKERS", "0"),
        ("WORKERS", "257"),
        ("WORKERS", "many"),
    ],
)
def test_what_would_fail_later_ends_the_start(variable: str, value: str) -> None:
    """A traceback, metrics that nobody serves, and a store that never comes are start-up errors."""
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: value})
    assert [name for name, _ in caught.value.problems] == [variable]


def test_the_target_has_everything_of_a_connection() -> None:
    """REDIS_URL, REDIS_AUTH and REDIS_TLS; a socket has no TLS."""
    given = {"REDIS_AUTH": "u:pw", "REDIS_TLS": "true"}
    tcp = load_settings({**given, "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "redis:6379"}).redis.place.servers[0]
    assert tcp == RedisTarget("redis", 6379, username="u", password="pw", tls=True)
    assert load_settings({**given, "REDIS_URL": "/s"}).redis.place.servers[0] == RedisTarget(
        username="u", password="pw", path="/s"
    )


def test_a_second_store_is_there_when_asked_for() -> None:
    """REDIS_PERSECOND_* mean nothing without REDIS_PERSECOND, not even where wrong."""
    given = {"REDIS_PERSECOND_URL": "h:7", "REDIS_PERSECOND_SOCKET_TYPE": "tcp", "REDIS_PERSECOND_AUTH": "pw"}
    assert load_settings({"REDIS_PERSECOND_URL": "h:7"}).redis.persecond_place is None
    settings = load_settings({**given, "REDIS_PERSECOND": "true", "REDIS_PERSECOND_TIMEOUT": "20ms"}).redis
    assert settings.persecond_place is not None
    assert settings.persecond_place.servers == (RedisTarget("h", 7, password="pw"),)
    assert settings.timeout_s == settings.persecond_place.timeout_s == 0.02


def test_a_misspelt_variable_is_told() -> None:
    """A near miss would silently leave a default in force."""
    assert load_settings({"REDIS_TIMOUT": "1s"}).warnings == (
        "REDIS_TIMOUT is not a setting; did you mean REDIS_TIMEOUT?",
    )


def test_one_place_of_memcached() -> None:
    """Either a list, in its order, or a SRV name; neither matters to another backend."""
    listed = load_settings({"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "b:11211, [::1]:2"}).memcache
    assert listed.addresses == [("b", 11211), ("::1", 2)]
    found = {"BACKEND_TYPE": "memcache", "MEMCACHE_SRV": "_memcache._tcp.example.org", "MEMCACHE_SRV_REFRESH": "1m"}
    assert load_settings(found).memcache.memcache_srv_refresh == 60
    assert load_settings({"MEMCACHE_HOST_PORT": "a:1", "MEMCACHE_SRV": "_a._tcp.b"}).limiter.backend_type == "redis"


def test_settings_are_frozen() -> None:
    """Nobody changes them while the service runs."""
    with pytest.raises(ValueError, match="frozen"):
        load_settings({}).server.port = 1


def test_every_setting_is_documented() -> None:
    """docs/configuration.md knows each variable, and names none that is not there."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert sorted(set(re.findall(r"^\| `([A-Z_0-9]+)`", text, re.MULTILINE))) == VARIABLES


def test_the_shipped_environment_is_the_default() -> None:
    """deploy/settings.env holds every setting at its default."""
    lines = (ROOT / "deploy" / "settings.env").read_text().splitlines()
    environ = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert load_settings(environ) == load_settings({})
    named = {line.removeprefix("# ").split("=")[0] for line in lines if "=" in line}
    assert named == set(VARIABLES)
