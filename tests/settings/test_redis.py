from pathlib import Path

from ratelimit.settings import load_settings
from ratelimit.settings.redis_place import TlsFiles
from ratelimit.settings.redis_url import RedisTarget
from tests.transport.test_tls import certificate

TCP = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": "redis:6379"}


def test_the_target_has_everything_of_a_connection() -> None:
    """REDIS_URL, REDIS_AUTH and REDIS_TLS; a socket has no TLS."""
    given = {"REDIS_AUTH": "u:pw", "REDIS_TLS": "true"}
    tcp = load_settings({**given, **TCP}).redis.place.servers[0]
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


def test_a_timeout_of_nothing_is_no_wait_without_end() -> None:
    """The reference waits for ever; ours as long as it ever does, and says so."""
    settings = load_settings({**TCP, "REDIS_TIMEOUT": "0", "REDIS_PERSECOND_TIMEOUT": "-1s"})
    assert (settings.redis.redis_timeout, settings.redis.redis_persecond_timeout) == (10, 10)
    assert [name for name, _ in settings.notes] == ["REDIS_TIMEOUT", "REDIS_PERSECOND_TIMEOUT"]


def test_a_network_of_one_family_is_tcp() -> None:
    """Go's `tcp4` and `tcp6`: both families are tried."""
    settings = load_settings({**TCP, "REDIS_SOCKET_TYPE": "tcp4"})
    assert settings.redis.place.servers == (RedisTarget("redis", 6379),)
    assert "REDIS_SOCKET_TYPE" in settings.warnings[0]


def test_half_a_pair_is_no_certificate(tmp_path: Path) -> None:
    """As in the reference, and it is told; a whole one is used."""
    cert, key = certificate(tmp_path, "client", "DNS:client")
    whole = {**TCP, "REDIS_TLS": "true", "REDIS_TLS_CLIENT_CERT": cert, "REDIS_TLS_CLIENT_KEY": key}
    assert load_settings(whole).redis.place.tls == TlsFiles(cert, key)
    for lonely in ("REDIS_TLS_CLIENT_CERT", "REDIS_TLS_CLIENT_KEY"):
        settings = load_settings({**TCP, "REDIS_TLS": "true", lonely: whole[lonely]})
        assert settings.redis.place.tls == TlsFiles()
        assert [name for name, _ in settings.notes] == [lonely]


def test_what_does_nothing_is_told_only_where_it_is_not_the_default() -> None:
    """deploy/settings.env has every default in it, and warns of nothing."""
    assert load_settings({**TCP, "REDIS_POOL_SIZE": "10", "REDIS_PIPELINE_WINDOW": "0"}).notes == ()
    settings = load_settings({**TCP, "REDIS_POOL_SIZE": "0x20", "REDIS_PIPELINE_WINDOW": "150µs"})
    assert settings.warnings == (
        "REDIS_POOL_SIZE has no effect: one multiplexed connection to each server serves",
        "REDIS_PIPELINE_WINDOW has no effect: what comes in one tick of the event loop is one batch",
    )
