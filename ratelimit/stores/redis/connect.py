"""Opening connections: redis-py resolves, dials, secures and authenticates; the open transport is then ours.

Its retries are off: they would repeat a command whose answer was lost, and count it twice.
"""

import asyncio
import ssl
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

from ratelimit.settings import RedisSettings

CONNECT_TIMEOUT_S = 5.0


class RefusedError(OSError):
    """The server is there and does not let us in: more tries alone do not help, a person must do something."""


def make_connection(settings: RedisSettings) -> AbstractConnection:
    """A connection to `settings.target`, not yet open."""
    target = settings.target
    common: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": CONNECT_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "protocol": 2,
        "client_name": "envoy-ratelimit",
        "username": target.username or None,
        "password": target.password or None,
        "db": target.db,
    }
    if target.path:
        return UnixDomainSocketConnection(path=target.path, **common)
    common.update(host=target.host, port=target.port)
    return SSLConnection(**common, **_tls(settings)) if target.tls else Connection(**common)


async def open_transport(settings: RedisSettings, protocol: asyncio.Protocol) -> AbstractConnection:
    """Open a connection and hand its transport to `protocol`. Raises OSError (RefusedError) with a reason for people.

    The connection returned owns the transport: it closes it when it is collected, so the caller keeps it.
    """
    connection: Any = make_connection(settings)
    try:
        await connection.connect()
    except (RedisError, OSError, TimeoutError) as error:
        await connection.disconnect()
        refused = isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError)
        raise (RefusedError if refused else OSError)(str(error) or type(error).__name__) from None
    # redis-py has no public way to hand its socket over; a test shows that this attribute is still there.
    transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001
    transport.set_protocol(protocol)
    transport.resume_reading()
    protocol.connection_made(transport)
    return connection


def _tls(settings: RedisSettings) -> dict[str, Any]:
    return {
        "ssl_certfile": settings.redis_tls_client_cert or None,
        "ssl_keyfile": settings.redis_tls_client_key or None,
        "ssl_ca_certs": settings.redis_tls_cacert or None,
        "ssl_check_hostname": not settings.redis_tls_skip_hostname_verification,
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }
