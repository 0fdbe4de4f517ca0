"""What must hold between settings, and which of them do nothing as they stand together.

A variable of something that is off is never looked at: envoyproxy/ratelimit does not look at it either.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ratelimit.settings.counting import SRV_NAME
from ratelimit.settings.pem_files import certificate_trouble, key_trouble

_REDIS_TYPES = ("SINGLE", "SENTINEL", "CLUSTER")


@dataclass(frozen=True, slots=True)
class Rule:
    """What fields must fulfil together.

    `said` gets the settings and tells what is wrong, None for nothing; the first of `fields`, those that it reads, is
    to blame.
    """

    fields: tuple[str, ...]
    said: Callable[[Any], str | None]


def _a_file_for(field: str) -> Rule:
    """TLS without its files cannot be served."""

    def said(settings: Any) -> str | None:
        wanted = settings.server.grpc_server_use_tls and not getattr(settings.server, field)
        return "a file is wanted, since GRPC_SERVER_USE_TLS is true" if wanted else None

    return Rule((field, "grpc_server_use_tls"), said)


def _no_socket_for_several(settings: Any) -> str | None:
    workers = settings.server.workers
    several = settings.server.grpc_uds and workers != 1
    return f"a Unix socket serves one process only, and WORKERS is {workers}" if several else None


def _a_clock_of_redis_needs_redis(settings: Any) -> str | None:
    limiter = settings.limiter
    lacking = limiter.store_clock == "redis" and limiter.backend_type != "redis"
    return f"redis has no clock to follow, since BACKEND_TYPE is {limiter.backend_type}" if lacking else None


def _memory_for_several(settings: Any) -> str | None:
    several = settings.limiter.backend_type == "memory" and settings.server.workers != 1
    reason = f"memory counts in one process only, and WORKERS is {settings.server.workers}"
    return reason if several else None


def _redis_used(settings: Any, prefix: str) -> bool:
    used = settings.limiter.backend_type == "redis"
    return used and (prefix == "redis" or settings.redis.redis_persecond)


def _of_redis(prefix: str) -> list[Rule]:
    """What holds for a store of the Redis kind where it is used."""
    used = ("backend_type", "redis_persecond")
    socket_type, store_type, url = (f"{prefix}_{name}" for name in ("socket_type", "type", "url"))

    def known(field: str, values: tuple[str, ...], wanted: str) -> Rule:
        def said(settings: Any) -> str | None:
            value = getattr(settings.redis, field)
            return None if not _redis_used(settings, prefix) or value in values else wanted

        return Rule((field, *used), said)

    def usable(settings: Any) -> str | None:
        redis = settings.redis
        readable = getattr(redis, socket_type) in {"tcp", "unix"} and getattr(redis, store_type) in _REDIS_TYPES
        if not _redis_used(settings, prefix) or not readable:
            return None
        try:
            _ = redis.place if prefix == "redis" else redis.persecond_place
        except ValueError as error:
            return str(error).replace("REDIS_", f"{prefix}_".upper())
        return None

    def pooled(settings: Any) -> str | None:
        size = getattr(settings.redis, f"{prefix}_pool_size")
        return "a number of connections is wanted, 0 or more" if _redis_used(settings, prefix) and size < 0 else None

    def waits(settings: Any) -> str | None:
        behaviour = getattr(settings.redis, f"{prefix}_pool_on_empty_behavior").upper()
        refused = _redis_used(settings, prefix) and behaviour in {"CREATE", "ERROR"}
        return f"{behaviour} is not supported; WAIT is" if refused else None

    return [
        known(socket_type, ("tcp", "unix"), "tcp or unix is wanted"),
        known(store_type, _REDIS_TYPES, "SINGLE, SENTINEL or CLUSTER is wanted"),
        Rule((url, socket_type, store_type, *used), usable),
        Rule((f"{prefix}_pool_size", *used), pooled),
        Rule((f"{prefix}_pool_on_empty_behavior", *used), waits),
    ]


def _memcache_used(settings: Any) -> bool:
    return bool(settings.limiter.backend_type == "memcache")


def _memcache_srv_is_a_name(settings: Any) -> str | None:
    name = settings.memcache.memcache_srv
    wrong = _memcache_used(settings) and name and not SRV_NAME.fullmatch(name)
    return "_service._protocol.name is wanted" if wrong else None


def _memcache_hosts_are_usable(settings: Any) -> str | None:
    if not _memcache_used(settings):
        return None
    try:
        addresses = settings.memcache.addresses
    except ValueError as error:
        return str(error)
    if not all(host for host, _ in addresses):
        return "host:port is wanted, each with a host"
    if bool(addresses) != bool(settings.memcache.memcache_srv):
        return None
    both = ", not both" if addresses else ""
    return f"either this or MEMCACHE_SRV is wanted, since BACKEND_TYPE is memcache{both}"


def _at_most_one_sink(settings: Any) -> str | None:
    metrics = settings.metrics
    chosen = (metrics.use_statsd, metrics.use_prometheus, settings.dog_statsd.use_dog_statsd)
    several = not metrics.disable_stats and sum(map(bool, chosen)) > 1
    return "at most one of USE_STATSD, USE_PROMETHEUS and USE_DOG_STATSD may be true" if several else None


def _prometheus(field: str, *, asked_for: bool) -> Rule:
    """PROMETHEUS_ADDR and PROMETHEUS_PATH must do where they are asked for, and are done without where they are not."""

    def said(settings: Any) -> str | None:
        metrics = settings.metrics
        if asked_for:
            served = metrics.use_prometheus and not metrics.disable_stats
        else:
            served = metrics.use_prometheus is None and not metrics.use_statsd and not metrics.disable_stats
        return metrics.unusable[field] or None if served else None

    return Rule((field, "use_prometheus", "use_statsd", "disable_stats"), said)


def _traces_have_a_protocol(settings: Any) -> str | None:
    tracing = settings.tracing
    wrong = tracing.tracing_enabled and tracing.tracing_exporter_protocol not in {"", "http", "grpc"}
    return "http or grpc is wanted" if wrong else None


_TOGETHER = (
    _a_file_for("grpc_server_tls_cert"),
    _a_file_for("grpc_server_tls_key"),
    Rule(("grpc_uds", "workers"), _no_socket_for_several),
    Rule(("store_clock", "backend_type"), _a_clock_of_redis_needs_redis),
    Rule(("backend_type", "workers"), _memory_for_several),
    *_of_redis("redis"),
    *_of_redis("redis_persecond"),
    Rule(("memcache_srv", "backend_type"), _memcache_srv_is_a_name),
    Rule(("memcache_host_port", "memcache_srv", "backend_type"), _memcache_hosts_are_usable),
    Rule(("use_statsd", "use_prometheus", "use_dog_statsd", "disable_stats"), _at_most_one_sink),
    _prometheus("prometheus_addr", asked_for=True),
    _prometheus("prometheus_path", asked_for=True),
    Rule(("tracing_exporter_protocol", "tracing_enabled"), _traces_have_a_protocol),
)


@dataclass(frozen=True, slots=True)
class _Side:
    """One side that may have TLS: its group, the fields of its files, and what says whether TLS is spoken.

    `client` is for those that connect: they go on without a certificate where half of a pair is missing.
    """

    group: str
    cert: str
    key: str
    cacert: str
    on: Callable[[Any], bool]
    switches: tuple[str, ...]
    client: bool = True


def _redis_speaks_tls(settings: Any) -> bool:
    redis = settings.redis
    urls = [getattr(redis, f"{prefix}_url") for prefix in ("redis", "redis_persecond") if _redis_used(settings, prefix)]
    return bool(redis.redis_tls or redis.redis_persecond_tls or any("rediss://" in url.lower() for url in urls))


_SIDES = (
    _Side(
        "server",
        "grpc_server_tls_cert",
        "grpc_server_tls_key",
        "grpc_client_tls_cacert",
        lambda settings: bool(settings.server.grpc_server_use_tls),
        ("grpc_server_use_tls",),
        client=False,
    ),
    _Side(
        "redis",
        "redis_tls_client_cert",
        "redis_tls_client_key",
        "redis_tls_cacert",
        _redis_speaks_tls,
        ("redis_tls", "redis_url", "redis_persecond", "redis_persecond_tls", "redis_persecond_url", "backend_type"),
    ),
    _Side(
        "memcache",
        "memcache_tls_client_cert",
        "memcache_tls_client_key",
        "memcache_tls_cacert",
        lambda settings: bool(settings.memcache.memcache_tls),
        ("memcache_tls",),
    ),
    _Side(
        "xds",
        "config_grpc_xds_client_tls_cert",
        "config_grpc_xds_client_tls_key",
        "config_grpc_xds_server_tls_cacert",
        lambda settings: bool(settings.xds.config_grpc_xds_server_use_tls),
        ("config_grpc_xds_server_use_tls",),
    ),
)


def _readable(side: _Side) -> list[Rule]:
    """Files of TLS that is spoken must be there and right; a pair counts where it is whole."""

    def given(settings: Any, field: str) -> str:
        return str(getattr(getattr(settings, side.group), field)) if side.on(settings) else ""

    def shown(trouble: str, path: str) -> str | None:
        return f"{trouble} (is {path!r})" if trouble else None

    def authority(settings: Any) -> str | None:
        path = given(settings, side.cacert)
        return shown(certificate_trouble(path), path) if path else None

    def certificate(settings: Any) -> str | None:
        path = given(settings, side.cert)
        return shown(certificate_trouble(path), path) if path and given(settings, side.key) else None

    def key(settings: Any) -> str | None:
        path, of = given(settings, side.key), given(settings, side.cert)
        whole = path and of and not certificate_trouble(of)
        return shown(key_trouble(path, of, side.cert.upper()), path) if whole else None

    return [
        Rule((side.cacert, *side.switches), authority),
        Rule((side.cert, side.key, *side.switches), certificate),
        Rule((side.key, side.cert, *side.switches), key),
    ]


def _alone(side: _Side, field: str, other: str) -> Rule:
    """A client certificate without its key, or the other way round: the reference goes on without either."""

    def said(settings: Any) -> str | None:
        given = getattr(settings, side.group)
        alone = side.on(settings) and getattr(given, field) and not getattr(given, other)
        return f"{other.upper()} is missing" if alone else None

    return Rule((field, other, *side.switches), said)


RULES = (*_TOGETHER, *(rule for side in _SIDES for rule in _readable(side)))

# What is accepted and does nothing, with the reason.
WITHOUT_EFFECT = (
    *(_alone(side, *pair) for side in _SIDES if side.client for pair in ((side.cert, side.key), (side.key, side.cert))),
    _prometheus("prometheus_addr", asked_for=False),
    _prometheus("prometheus_path", asked_for=False),
)
