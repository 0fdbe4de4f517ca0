from typing import Any

import pytest
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

from ratelimit.settings import RedisSettings
from ratelimit.stores.redis.connect import Dial, make_connection


def connection(**given: Any) -> Any:
    """The connection for these settings, not open."""
    place = RedisSettings(**{"redis_socket_type": "tcp", **given}).place
    return make_connection(Dial(place.servers[0], place.tls))


def test_host_and_port() -> None:
    """The reference's plain host:port."""
    made = connection(redis_url="redis.example:6380")
    assert isinstance(made, Connection)
    assert (made.host, made.port, made.db) == ("redis.example", 6380, 0)


def test_a_url_with_credentials_and_database() -> None:
    """redis:// carries user, password and database."""
    made = connection(redis_url="redis://app:p%40ss@[::1]:7000/3")
    assert (made.host, made.port, made.db, made.username, made.password) == ("::1", 7000, 3, "app", "p@ss")


@pytest.mark.parametrize("given", [{"redis_url": "rediss://h:1"}, {"redis_url": "h:1", "redis_tls": True}])
def test_tls_verifies_the_host_unless_told_not_to(given: dict[str, Any]) -> None:
    """TLS checks certificate and name."""
    made = connection(**given)
    assert isinstance(made, SSLConnection)
    assert made.ssl_context.check_hostname
    assert not connection(**given, redis_tls_skip_hostname_verification=True).ssl_context.check_hostname


def test_a_unix_socket() -> None:
    """REDIS_SOCKET_TYPE=unix, the default, takes a path."""
    made = connection(redis_socket_type="unix", redis_url="/run/redis.sock", redis_auth="secret")
    assert isinstance(made, UnixDomainSocketConnection)
    assert (made.path, made.password) == ("/run/redis.sock", "secret")


def test_retries_are_off() -> None:
    """redis-py would repeat a command whose answer was lost, and count it twice."""
    assert connection(redis_url="h:1").retry.get_retries() == 0
