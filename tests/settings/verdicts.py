"""Which values of each variable envoyproxy/ratelimit starts with: held against it by tests/differential.

`test_verdicts.py` holds ours against the same table without it. What depends on the machine (names that resolve, files,
a store that is there) is no case.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ratelimit.settings import variables
from ratelimit.settings.document import kind
from ratelimit.settings.group import about

# Known to later versions than the one that is built here.
LATER = {
    "REDIS_CLOSE_CONNECTION_ON_READONLY_ERROR",
    "REDIS_CLUSTER_PIPELINE_PARALLELISM",
    "REDIS_PERSECOND_CLUSTER_PIPELINE_PARALLELISM",
    "REDIS_STARTUP_INITIAL_INTERVAL",
    "REDIS_STARTUP_MAX_ELAPSED_TIME",
    "REDIS_STARTUP_MAX_INTERVAL",
    "USE_CALENDAR_MONTH_RATE_LIMIT",
}
THEIRS = [
    name
    for name, group in variables().items()
    if not about(group.model_fields[name.lower()]).ours and name not in LATER
]

# How Go reads each kind.
READ = {
    "boolean": ("1", "t", "T", "true", "True", "TRUE", "0", "f", "F", "false", "False", "FALSE"),
    "duration": ("0", "+0", "1h30m", ".5s", "1.s", "+5s", "300ms", "2500000µs", "2500000μs", "2500000us", "1m0.5s"),
    "integer": ("1", "+5", "0x10", "0X1f", "010", "0o17", "0b11", "1_000", "0_7", "0x_f"),
    "number": ("0", "1", ".5", "1.", "0x1p-2", "0x_1p-2", "1_0.5", "1e-3", "1e-50", "2", "-1", "nan", "NaN", "-Inf"),
    "map": ("", "  ", "a:b", "a:b,c:d", ":", "a:,a:x", " a : b "),
    "list": ("", "  ", "a", "a,b", ","),
    "text": (),
}
MISREAD = {
    "boolean": ("", "yes", "on", "tRUE", " true", "2", "-1"),
    "duration": ("", "10", "1d", "1s ", " 1s", "1 s", ".s", "s", "1h-5m", "--1s", "9999999999h", "٣s", "1e3s"),
    "integer": ("", "x", "08", "1e3", " 1", "1\n", "1.0", "0x", "_1", "1_", "1__0", "٣", "9223372036854775808"),
    "number": ("", "x", ".", " 1", "1e", "0x1", "1__0", "+nan", "1e400", "٣"),
    "map": ("a", "a:b,", "a:b:c", ","),
    "list": (),
    "text": (),
}


class Case(NamedTuple):
    """An environment, whether the reference starts with it, and why ours decides otherwise, if it does."""

    environ: Mapping[str, str]
    starts: bool
    why_not_as_theirs: str = ""

    @property
    def ours_starts(self) -> bool:
        """Whether ours starts."""
        return self.starts is not bool(self.why_not_as_theirs)


def of_kinds() -> Iterator[Case]:
    """Every variable with every spelling of its kind."""
    for name in THEIRS:
        group = variables()[name]
        of = kind(group.model_fields[name.lower()])
        for value in MISREAD[of]:
            yield Case({name: value}, starts=False)
        for value in READ[of]:
            yield Case({name: value}, starts=(name, value) not in REFUSED)


TRUE = ("1", "t", "T", "true", "True", "TRUE")
REFUSED = {
    *(("STATS_FLUSH_INTERVAL", value) for value in ("0", "+0")),
    *(("GRPC_SERVER_USE_TLS", value) for value in TRUE),
}

MEMCACHE = {"BACKEND_TYPE": "memcache", "MEMCACHE_HOST_PORT": "127.0.0.1:1"}
XDS = {"CONFIG_TYPE": "GRPC_XDS_SOTW", "FORCE_START_WITHOUT_INITIAL_CONFIG": "true"}
DOG = {"USE_DOG_STATSD": "true", "USE_DOG_STATSD_MOGRIFIERS": "a"}
PROMETHEUS = {"USE_PROMETHEUS": "true"}
NOBODY_WOULD_NOTICE = "its pages would be missing, and nobody would notice"
NOTHING_COUNTED = "it could never count anything"


def one(name: str, *values: str, starts: bool, why: str = "", **beside: str) -> list[Case]:
    """A case for each value of a variable, with other variables beside it."""
    return [Case({name: value, **beside}, starts, why) for value in values]


def of_meaning() -> list[Case]:
    """Values that are read, and what is made of them."""
    return [
        *one("HOST", "", "::1", "localhost", starts=True),
        *one("HOST", "127.0.0.1:80", starts=False),
        *one("HOST", "[::1]", starts=False, why="a host with brackets is what people write"),
        *one("DEBUG_HOST", "127.0.0.1:80", starts=True, why=NOBODY_WOULD_NOTICE),
        *one("PORT", "-1", "65536", starts=False),
        *one("GRPC_PORT", "-1", "65536", starts=False),
        *one("DEBUG_PORT", "-1", "65536", starts=True, why=NOBODY_WOULD_NOTICE),
        *one("GRPC_MAX_CONNECTION_AGE", "-1s", starts=True, why="it ends with its first connection"),
        *one("GRPC_MAX_CONNECTION_AGE_GRACE", "-1s", starts=True),
        *one("GRPC_SERVER_TLS_CERT", "/nowhere", starts=True),
        *one("GRPC_CLIENT_TLS_CACERT", "/nowhere", starts=True),
        *one("GRPC_SERVER_TLS_CERT", "/nowhere", starts=False, GRPC_SERVER_TLS_KEY="/x", GRPC_SERVER_USE_TLS="true"),
        *one("LOG_LEVEL", "WARN", "Warning", "warn", "TRACE", "Fatal", "panic", "ERROR", "info", "dEBUG", starts=True),
        *one("LOG_LEVEL", "", "verbose", "5", "warn ", starts=False),
        *one("LOG_FORMAT", "JSON", "Text", "logfmt", "xml", "", starts=True),
        *one("BACKEND_TYPE", "", "redis", starts=True),
        *one("BACKEND_TYPE", "Redis", "x y", starts=False),
        *one("BACKEND_TYPE", "memory", starts=False, why="ours has one store more"),
        *one("BACKEND_TYPE", "memcache", starts=True, why=NOTHING_COUNTED),
        *one("BACKEND_TYPE", "memcache", starts=True, MEMCACHE_HOST_PORT="127.0.0.1:1,127.0.0.1:2"),
        *one("BACKEND_TYPE", "memcache", starts=True, MEMCACHE_HOST_PORT="/run/memcached.sock"),
        *one("BACKEND_TYPE", "memcache", starts=False, MEMCACHE_SRV="nonsense"),
        *one("BACKEND_TYPE", "memcache", starts=False, MEMCACHE_SRV="_m._tcp.x", MEMCACHE_HOST_PORT="127.0.0.1:1"),
        *one("MEMCACHE_SRV", "nonsense", starts=True),
        *one("MEMCACHE_SRV_REFRESH", "-1s", starts=True, **MEMCACHE),
        *one("MEMCACHE_MAX_IDLE_CONNS", "-1", starts=True, **MEMCACHE),
        *one("MEMCACHE_TLS", "true", starts=True, **MEMCACHE),
        *one("MEMCACHE_TLS", "true", starts=False, MEMCACHE_TLS_CACERT="/nowhere"),
        *one("CONFIG_TYPE", "", "file", "XDS", starts=False),
        *one("CONFIG_TYPE", "FILE", starts=True),
        *of_metrics(),
        *of_stores(),
        *of_xds(),
        *one("EXPIRATION_JITTER_MAX_SECONDS", "-1", "99999999999", starts=True),
        *one("LOCAL_CACHE_SIZE_IN_BYTES", "-1", "1", starts=True),
        *one("NEAR_LIMIT_RATIO", "2", "-1", "nan", "inf", starts=True),
        *one("NEAR_LIMIT_RATIO", "1e39", starts=False),
        *one("LIMIT_LIMIT_HEADER", "", "x y", starts=True),
        *one("TRACING_EXPORTER_PROTOCOL", "", "http", "grpc", starts=True, TRACING_ENABLED="true"),
        *one("TRACING_EXPORTER_PROTOCOL", "GRPC", "x", starts=False, TRACING_ENABLED="true"),
        *one("TRACING_EXPORTER_PROTOCOL", "x", starts=True),
    ]


def of_metrics() -> list[Case]:
    """Sinks, and what each wants."""
    good = {"DOG_STATSD_MOGRIFIER_A_PATTERN": "^x(.*)$", "DOG_STATSD_MOGRIFIER_A_NAME": "$1"}
    return [
        *one("STATS_FLUSH_INTERVAL", "0", "-1s", starts=False, DISABLE_STATS="true"),
        *one("STATSD_PORT", "0", "-1", "70000", starts=True, USE_STATSD="true"),
        *one("USE_STATSD", "true", starts=False, USE_PROMETHEUS="true"),
        *one("USE_STATSD", "true", starts=False, USE_DOG_STATSD="true"),
        *one("USE_STATSD", "true", starts=True, USE_PROMETHEUS="true", DISABLE_STATS="true"),
        *one("USE_STATSD", "true", starts=True, USE_DOG_STATSD="true", DISABLE_STATS="true"),
        *one("USE_DOG_STATSD", "true", starts=False, USE_PROMETHEUS="true"),
        *one("USE_DOG_STATSD_MOGRIFIERS", "A", starts=True),
        Case({**DOG, **good}, starts=True),
        Case(DOG, starts=False),
        *one("DOG_STATSD_MOGRIFIER_A_NAME", "", starts=False, **DOG, DOG_STATSD_MOGRIFIER_A_PATTERN="x"),
        *one("DOG_STATSD_MOGRIFIER_A_PATTERN", "(", starts=False, **DOG, DOG_STATSD_MOGRIFIER_A_NAME="x"),
        *one("DOG_STATSD_MOGRIFIER_A_TAGS", "a", "a:", ":b", "a:b:c", starts=False, **DOG, **good),
        *one("PROMETHEUS_ADDR", "", ":0", starts=True, **PROMETHEUS),
        *one("PROMETHEUS_ADDR", "localhost", "x y", ":99999", starts=True, why=NOBODY_WOULD_NOTICE, **PROMETHEUS),
        *one("PROMETHEUS_ADDR", "localhost", starts=True, USE_STATSD="true"),
        *one("PROMETHEUS_PATH", "", "/m", "/é", starts=True, PROMETHEUS_ADDR="127.0.0.1:0", **PROMETHEUS),
        *one("PROMETHEUS_PATH", "metrics", "/{", "/a b", starts=False, PROMETHEUS_ADDR="127.0.0.1:0", **PROMETHEUS),
        *one("PROMETHEUS_PATH", "metrics", starts=True, USE_STATSD="true"),
        *one("PROMETHEUS_MAPPER_YAML", "/nowhere", starts=True),
    ]


def of_stores() -> list[Case]:
    """Redis: what is wrong matters only where that store is used."""
    files = {"REDIS_TLS_CLIENT_CERT": "/nowhere", "REDIS_TLS_CLIENT_KEY": "/nowhere"}
    return [
        *one("REDIS_SOCKET_TYPE", "", "TCP", "x y", starts=False),
        *one("REDIS_SOCKET_TYPE", "tcp4", starts=True),
        *one("REDIS_SOCKET_TYPE", "x", starts=True, **MEMCACHE),
        *one("REDIS_TYPE", "single", "Single", starts=True),
        *one("REDIS_TYPE", "", "standalone", "SENTINEL", starts=False),
        *one("REDIS_TYPE", "x", starts=True, **MEMCACHE),
        *one("REDIS_URL", "", starts=False),
        *one("REDIS_URL", "", "a,b", starts=True, **MEMCACHE),
        *one("REDIS_TIMEOUT", "0", "-1s", starts=True),
        *one("REDIS_POOL_SIZE", "-1", starts=False),
        *one("REDIS_POOL_SIZE", "0", starts=True),
        *one("REDIS_POOL_SIZE", "-1", starts=True, **MEMCACHE),
        *one("REDIS_POOL_ON_EMPTY_BEHAVIOR", "wait", "", "x", starts=True),
        *one("REDIS_POOL_ON_EMPTY_BEHAVIOR", "CREATE", "error", starts=False),
        *one("REDIS_POOL_ON_EMPTY_BEHAVIOR", "CREATE", starts=True, **MEMCACHE),
        *one("REDIS_PIPELINE_WINDOW", "-1s", starts=True),
        *one("REDIS_PIPELINE_LIMIT", "-1", starts=True),
        *one("REDIS_PERSECOND_TYPE", "x", starts=True),
        *one("REDIS_PERSECOND_SOCKET_TYPE", "x", starts=True),
        *one("REDIS_PERSECOND_POOL_SIZE", "-1", starts=True),
        *one("REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR", "CREATE", starts=True),
        *one("REDIS_PERSECOND_TYPE", "x", starts=False, REDIS_PERSECOND="true"),
        *one("REDIS_TLS_CLIENT_CERT", "/nowhere", starts=True),
        Case(files, starts=True),
        Case({**files, "REDIS_TLS": "true"}, starts=False),
        *one("REDIS_TLS_CACERT", "/nowhere", starts=True),
        *one("REDIS_TLS_CACERT", "/nowhere", starts=False, REDIS_PERSECOND_TLS="true"),
        *one("REDIS_TLS_CACERT", "/nowhere", starts=False, REDIS_TLS="true", **MEMCACHE),
    ]


def of_xds() -> list[Case]:
    """A control plane."""
    tls = {"CONFIG_GRPC_XDS_SERVER_USE_TLS": "true"}
    return [
        Case(XDS, starts=True),
        *one("CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL", "-1s", starts=True),
        *one("XDS_CLIENT_BACKOFF_INITIAL_INTERVAL", "-1s", starts=True),
        *one("XDS_CLIENT_BACKOFF_MAX_INTERVAL", "-1s", starts=True),
        *one("XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES", "-1", starts=True),
        *one("CONFIG_GRPC_XDS_NODE_METADATA", "a=b,c", "a", ",", starts=True),
        Case(tls, starts=True),
        Case({**tls, "CONFIG_GRPC_XDS_SERVER_TLS_CACERT": "/nowhere"}, starts=False),
        Case({**tls, "CONFIG_GRPC_XDS_CLIENT_TLS_CERT": "/nowhere"}, starts=True),
    ]
