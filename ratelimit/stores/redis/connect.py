"""Opening connections: redis-py resolves, dials, secures and authenticates; the open transport is then ours.

Its retries are off: they would repeat a command whose answer was lost, and count it twice.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

from ratelimit.settings.redis_place import TlsFiles
from ratelimit.settings.redis_url import RedisTarget

CONNECT_TIMEOUT_S = 5.0


class RefusedError(OSError):
    """The server is there and does not let us in: more tries alone do not help, a person must do something."""


@dataclass(frozen=True, slots=True)
class Dial:
    """One server and how to reach it; `timeout_s` bounds each step of it, and each reply on the way."""

    target: RedisTarget
    tls: TlsFiles = field(default_factory=TlsFiles)
    timeout_s: float = CONNECT_TIMEOUT_S


def make_connection(dial: Dial) -> AbstractConnection:
    """A connection to `dial.target`, not yet open."""
    target = dial.target
    common: dict[str, Any] = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": dial.timeout_s,
        "socket_connect_timeout": dial.timeout_s,
        "protocol": 2,
        "client_name": "envoy-ratelimit",
        "username": target.username or None,
        "password": target.password or None,
        "db": target.db,
    }
    if target.path:
        return UnixDomainSocketConnection(path=target.path, **common)
    common.update(host=target.host, port=target.port)
    return SSLConnection(**common, **_tls(dial.tls)) if target.tls else Connection(**common)


async def ask(dial: Dial, *commands: tuple[Any, ...]) -> list[Any]:
    """Connect, ask a few questions, hang up: their answers. Raises OSError (RefusedError) with a reason for people."""
    connection: Any = make_connection(dial)
    try:
        await connection.connect()
        answers = []
        for command in commands:
            await connection.send_command(*command)
            answers.append(await connection.read_response())
    except (RedisError, OSError, TimeoutError) as error:
        raise _translated(error) from None
    else:
        return answers
    finally:
        await connection.disconnect()


async def open_transport(dial: Dial, protocol: asyncio.Protocol) -> AbstractConnection:
    """Open a connection and hand its transport to `protocol`. Raises OSError (RefusedError) with a reason for people.

    The connection returned owns the transport: it closes it when it is collected, so the caller keeps it.
    """
    connection: Any = make_connection(dial)
    try:
        await connection.connect()
    except (RedisError, OSError, TimeoutError) as error:
        await connection.disconnect()
        raise _translated(error) from None
    # redis-py has no public way to hand its socket over; a test shows that this attribute is still there.
    transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001
    transport.set_protocol(protocol)
    transport.resume_reading()
    protocol.connection_made(transport)
    return connection


def _translated(error: Exception) -> OSError:
    refused = isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError)
    return (RefusedError if refused else OSError)(str(error) or type(error).__name__)


def _tls(files: TlsFiles) -> dict[str, Any]:
    return {
        "ssl_certfile": files.client_cert or None,
        "ssl_keyfile": files.client_key or None,
        "ssl_ca_certs": files.cacert or None,
        "ssl_check_hostname": files.check_hostname,
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }
