"""Opening connections: redis-py resolves, dials, secures and authenticates; the open transport is then ours.

Its retries are off: they would repeat a command whose answer was lost, and count it twice.
"""

import asyncio
import re
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ratelimit.settings import RedisSettings

CONNECT_TIMEOUT_S = 5.0
_CREDENTIALS = re.compile(r"(^|//)[^@/]*@")


def address(settings: RedisSettings) -> str:
    """REDIS_URL without its credentials, for logs and errors."""
    return _CREDENTIALS.sub(r"\1*****@", settings.redis_url)


def make_connection(settings: RedisSettings) -> AbstractConnection:
    """A connection not yet open. Raises ValueError for a REDIS_URL that is none."""
    common: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": CONNECT_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "protocol": 2,
        "client_name": "envoy-ratelimit",
    }
    common.update(_credentials(settings.redis_auth))
    if settings.redis_socket_type == "unix":
        return UnixDomainSocketConnection(path=settings.redis_url, **common)
    url = settings.redis_url if "//" in settings.redis_url else f"redis://{settings.redis_url}"
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss"} or not parts.hostname or parts.path.strip("/").isalpha():
        raise ValueError("host:port or redis://host:port/db is wanted")
    common.update(host=parts.hostname, port=parts.port or 6379, db=int(parts.path.strip("/") or 0))
    if parts.password:
        common.update(_credentials(":".join(filter(None, (unquote(parts.username or ""), unquote(parts.password))))))
    if settings.redis_tls or parts.scheme == "rediss":
        return SSLConnection(**common, **_tls(settings))
    return Connection(**common)


async def open_transport(settings: RedisSettings, protocol: asyncio.Protocol) -> AbstractConnection:
    """Open a connection and hand its transport to `protocol`. Raises OSError with a reason for people.

    The connection returned owns the transport: it closes it when it is collected, so the caller keeps it.
    """
    connection: Any = make_connection(settings)
    try:
        await connection.connect()
    except (RedisError, OSError, TimeoutError) as error:
        await connection.disconnect()
        raise OSError(str(error) or type(error).__name__) from None
    # redis-py has no public way to hand its socket over; a test shows that this attribute is still there.
    transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001
    transport.set_protocol(protocol)
    transport.resume_reading()
    protocol.connection_made(transport)
    return connection


def _credentials(auth: str) -> dict[str, str]:
    """`password` or `user:password`."""
    if not auth:
        return {}
    user, colon, password = auth.partition(":")
    return {"username": user, "password": password} if colon else {"password": auth}


def _tls(settings: RedisSettings) -> dict[str, Any]:
    return {
        "ssl_certfile": settings.redis_tls_client_cert or None,
        "ssl_keyfile": settings.redis_tls_client_key or None,
        "ssl_ca_certs": settings.redis_tls_cacert or None,
        "ssl_check_hostname": not settings.redis_tls_skip_hostname_verification,
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }
