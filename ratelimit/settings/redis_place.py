"""One store of the Redis kind: which servers to ask first, and how to speak to them and to those that they name."""

from dataclasses import dataclass, field, replace
from typing import Literal

from ratelimit.settings.redis_url import RedisTarget, parse_redis_url, parse_socket_path

SERVERS_MAX = 1000

Topology = Literal["SINGLE", "SENTINEL", "CLUSTER"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files, empty for none, and whether the name in the server's certificate is checked."""

    client_cert: str = ""
    client_key: str = ""
    cacert: str = ""
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between tries for a first connection, in seconds; `elapsed_max_s` ends them, 0 never does."""

    initial_s: float = 1.0
    most_s: float = 30.0
    elapsed_max_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where a store is and who asks.

    `servers` are the one server, the sentinels with their own credentials, or nodes of the Cluster. `login` has the
    credentials, the database and the TLS of whatever server the sentinels or the Cluster name; its host is empty.
    `variable` is the variable that names it all, for messages.
    """

    topology: Topology
    servers: tuple[RedisTarget, ...]
    login: RedisTarget
    timeout_s: float
    master: str = ""
    tls: TlsFiles = field(default_factory=TlsFiles)
    startup: Backoff = field(default_factory=Backoff)
    variable: str = "REDIS_URL"


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks: the login of the store's servers, REDIS_SENTINEL_AUTH for sentinels, and whether a URL is a socket."""

    login: RedisTarget
    sentinel_auth: str = field(default="", repr=False)
    unix: bool = False


def servers_of(topology: str, url: str, access: Access) -> tuple[str, tuple[RedisTarget, ...]]:
    """The name of the master (sentinels only) and the servers to ask first, with what they want. Raises ValueError."""
    master, login = "", access.login
    if topology == "SENTINEL":
        master, servers = sentinel_servers(url)
        # The password of the store is none of the sentinels' business.
        login = RedisTarget(tls=login.tls).with_credentials(access.sentinel_auth)
    elif topology == "CLUSTER":
        servers = cluster_servers(url)
    else:
        servers = (single_server(url, unix=access.unix),)
    return master, tuple(with_login(server, login) for server in servers)


def with_login(server: RedisTarget, login: RedisTarget) -> RedisTarget:
    """A server with credentials where it brings none itself, and TLS where either wants it; a socket has none."""
    if not server.password:
        server = replace(server, username=login.username or server.username, password=login.password)
    return server if server.path else replace(server, tls=server.tls or login.tls)


def single_server(url: str, *, unix: bool) -> RedisTarget:
    """REDIS_URL of one server. Raises ValueError."""
    return parse_socket_path(url) if unix else parse_redis_url(url)


def sentinel_servers(url: str) -> tuple[str, tuple[RedisTarget, ...]]:
    """The master's name and the sentinels of `mastername,host:port,…`. Raises ValueError."""
    master, *sentinels = _parts(url)
    if not master or ":" in master or "/" in master:
        raise ValueError("mastername,host:port,… is wanted, since REDIS_TYPE is SENTINEL")
    if not sentinels:
        raise ValueError("at least one sentinel must follow the master's name: mastername,host:port,…")
    return master, _servers(sentinels)


def cluster_servers(url: str) -> tuple[RedisTarget, ...]:
    """Some nodes of a Cluster, `host:port,…`; each may also be a URL. Raises ValueError."""
    servers = _servers(_parts(url))
    if any(server.db for server in servers):
        raise ValueError("a Cluster has one database, 0")
    return servers


def _servers(parts: list[str]) -> tuple[RedisTarget, ...]:
    if len(parts) > SERVERS_MAX:
        raise ValueError(f"at most {SERVERS_MAX} addresses may be given")
    return tuple(_read(part, number) for number, part in enumerate(parts, 1))


def _read(part: str, number: int) -> RedisTarget:
    try:
        return parse_redis_url(part)
    except ValueError as error:
        raise ValueError(f"address {number} of the list: {error}") from None


def _parts(url: str) -> list[str]:
    return [part.strip() for part in url.split(",")]
