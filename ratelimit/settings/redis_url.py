"""Where the store is: REDIS_URL, read once at the start, so that one that can never work ends it.

A password may hold anything, also `/`, `@` and `:`, written as it is or %-escaped: the last `@` of the text ends the
credentials, and no error ever repeats a part of the text.
"""

import ipaddress
import re
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote

PORT = 6379
DB_MAX = 2**31 - 1
# sockaddr_un.sun_path of Linux, with its closing NUL.
SOCKET_PATH_BYTES_MAX = 107
HOST_MAX = 253

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PLACE = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^\x00-\x20\x7f\s\[\]:,/?#]+))(?::(?P<port>[0-9]{1,5}))?")
_WANTED = "host:port, redis://user:password@host:port/db or rediss://… is wanted"


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """One server: host and port, or `path`, its Unix socket, with an empty host. Empty credentials are none."""

    host: str = ""
    port: int = PORT
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    path: str = ""

    @property
    def shown(self) -> str:
        """What logs may say: `host:port`, or the socket's path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"

    def with_credentials(self, auth: str) -> "RedisTarget":
        """The same server with REDIS_AUTH, `password` or `user:password`, where the URL brings no password itself."""
        if not auth or self.password:
            return self
        first, colon, rest = auth.partition(":")
        return replace(self, username=first, password=rest) if colon else replace(self, password=auth)


def parse_redis_url(text: str) -> RedisTarget:
    """Read `host:port`, `redis://[user[:password]@]host[:port][/db]` or `rediss://…`; an IPv6 host is `[::1]`.

    Raises ValueError with a sentence that shows no part of the text.
    """
    scheme, after = _scheme(text)
    credentials, _, place = after.rpartition("@")
    place, _, query = place.partition("?")
    address, _, db = place.partition("/")
    username, password = _credentials(credentials)
    given = _query(query)
    host, port = _host_and_port(address)
    return RedisTarget(
        host=host,
        port=port,
        db=_db(db or given.get("db", "")),
        username=username or given.get("username", ""),
        password=password or given.get("password", ""),
        tls=scheme == "rediss",
    )


def parse_socket_path(text: str) -> RedisTarget:
    """Read the path of a Unix socket. Raises ValueError."""
    if _SCHEME.match(text) or ("/" not in text and re.search(r":[0-9]+$", text)):
        raise ValueError("the path of a socket is wanted, since REDIS_SOCKET_TYPE is unix (tcp takes host:port)")
    if not text or "\0" in text or len(text.encode(errors="surrogatepass")) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"the path of a socket is wanted, 1 to {SOCKET_PATH_BYTES_MAX} bytes long")
    return RedisTarget(path=text)


def _scheme(text: str) -> tuple[str, str]:
    found = _SCHEME.match(text)
    if found is None:
        return "redis", text
    scheme = found[1].lower()
    if scheme not in {"redis", "rediss"}:
        raise ValueError(_WANTED)
    return scheme, text[found.end() :]


def _credentials(text: str) -> tuple[str, str]:
    username, _, password = text.partition(":")
    return unquote(username), unquote(password)


def _host_and_port(text: str) -> tuple[str, int]:
    if "," in text:
        raise ValueError("one address is wanted, no list, since REDIS_TYPE is SINGLE")
    found = _PLACE.fullmatch(text)
    if not found:
        raise ValueError(_WANTED)
    port = int(found["port"] or PORT)
    if not 0 < port < 2**16:
        raise ValueError("the port must be from 1 to 65535")
    host = found["ipv6"] or found["host"]
    try:
        if found["ipv6"]:
            ipaddress.IPv6Address(host)
        host[: HOST_MAX + 1].encode("idna")  # as the resolver does: an empty or long label fails here, not at each try
    except ValueError:
        raise ValueError("the host is no address, and no name that can be looked up") from None
    if len(host) > HOST_MAX:
        raise ValueError(f"the host is longer than {HOST_MAX} characters")
    return host, port


def _db(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > DB_MAX:
        raise ValueError("what follows the address must be the number of a database")
    return int(text)


def _query(text: str) -> dict[str, str]:
    given = dict(parse_qsl(text, keep_blank_values=True))
    if given.keys() - {"db", "username", "password"}:
        raise ValueError("only db, username and password may follow a `?`")
    return given
