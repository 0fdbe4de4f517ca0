"""Every setting, grouped by concern: the field is the environment variable's name in lower case.

Durations are in seconds. Defaults are envoyproxy/ratelimit's, but for those that docs/differences.md names.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ratelimit.settings.addresses import host, host_and_port
from ratelimit.settings.go_values import Boolean, Duration, Integer, Pairs, Workers
from ratelimit.settings.redis_place import Access, Backoff, RedisPlace, TlsFiles, servers_of
from ratelimit.settings.redis_url import RedisTarget

INT32_MAX = 2**31 - 1
SRV_NAME = re.compile(r"_[A-Za-z0-9-]+\._[A-Za-z0-9-]+\.[A-Za-z0-9._-]+")

Port = Annotated[Integer, Field(ge=0, le=65535)]
Host = Annotated[str, BeforeValidator(host)]
Count = Annotated[Integer, Field(ge=0)]
Positive = Annotated[Integer, Field(ge=1)]
Upper = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
HeaderName = Annotated[str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]


@dataclass(frozen=True, slots=True)
class Rule:
    """What fields of a group must fulfil together.

    `broken` tells what is wrong, None for nothing; the first of `fields`, those that it reads, is to blame.
    """

    fields: tuple[str, ...]
    broken: Callable[[Any], str | None]


class BrokenRulesError(ValueError):
    """Rules of a group that do not hold: `problems` has (rule, what is wrong) for each."""

    def __init__(self, problems: list[tuple[Rule, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{rule.fields[0].upper()}: {reason}" for rule, reason in problems))


class Group(BaseModel):
    """Settings of one concern, frozen. What holds between fields is a rule, so that all broken ones come together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _keeps_the_rules(self) -> "Group":
        problems = [(rule, reason) for rule in self.rules if (reason := rule.broken(self))]
        if problems:
            raise BrokenRulesError(problems)
        return self


def not_yet(*refused: Any) -> AfterValidator:
    """Refuse values that envoyproxy/ratelimit knows and this version does not act on: better than counting wrongly."""

    def check(value: Any) -> Any:
        if value in refused:
            raise ValueError("not supported yet")
        return value

    return AfterValidator(check)


def a_file_for(field: str) -> Rule:
    """TLS without its files cannot be served."""

    def broken(group: Any) -> str | None:
        wanted = group.grpc_server_use_tls and not getattr(group, field)
        return "a file is wanted, since GRPC_SERVER_USE_TLS is true" if wanted else None

    return Rule((field, "grpc_server_use_tls"), broken)


def _no_socket_for_several(group: Any) -> str | None:
    several = group.grpc_uds and group.workers != 1
    return f"a Unix socket serves one process only, and WORKERS is {group.workers}" if several else None


class ServerSettings(Group):
    """Where the service listens, in how many processes, and how it ends."""

    host: Host = "0.0.0.0"
    port: Port = 8080
    debug_host: Host = "127.0.0.1"
    debug_port: Port = 6070
    http_connections_max: Positive = 200
    http_header_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    grpc_host: Host = "0.0.0.0"
    grpc_port: Port = 8081
    grpc_uds: str = ""
    grpc_transport: Literal["native", "grpcio"] = "native"
    grpc_max_connection_age: Duration = 24 * 3600.0
    grpc_max_connection_age_grace: Duration = 3600.0
    grpc_max_recv_msg_bytes: Annotated[Positive, Field(le=INT32_MAX)] = 4 * 1024 * 1024
    grpc_max_connections: Positive = 10_000
    grpc_max_concurrent_streams: Annotated[Positive, Field(le=INT32_MAX)] = 1000
    grpc_max_header_bytes: Annotated[Positive, Field(le=INT32_MAX)] = 16 * 1024
    grpc_max_header_fields: Positive = 100
    grpc_max_control_frames: Positive = 1000
    grpc_max_glitches: Positive = 10_000
    grpc_max_outbound_bytes: Positive = 1024 * 1024
    grpc_handshake_timeout: Annotated[Duration, Field(gt=0)] = 5.0
    grpc_write_timeout: Annotated[Duration, Field(gt=0)] = 60.0
    grpc_keepalive_time: Duration = 30.0
    grpc_keepalive_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    grpc_reflection: Boolean = True
    grpc_error_codes: Literal["exact", "reference"] = "exact"
    grpc_server_use_tls: Boolean = False
    grpc_server_tls_cert: str = ""
    grpc_server_tls_key: str = ""
    grpc_client_tls_cacert: str = ""
    grpc_client_tls_san: str = ""
    reuse_port: Boolean = False
    workers: Workers = 1
    drain_delay: Duration = 2.0
    drain_grace: Duration = 30.0

    rules = (
        a_file_for("grpc_server_tls_cert"),
        a_file_for("grpc_server_tls_key"),
        Rule(("grpc_uds", "workers"), _no_socket_for_several),
    )


class ConfigSettings(Group):
    """Where the rate limit configuration comes from, and how much of it is accepted."""

    config_type: Annotated[Literal["FILE", "GRPC_XDS_SOTW"], not_yet("GRPC_XDS_SOTW")] = "FILE"
    runtime_root: str = "/srv/runtime_data/current"
    runtime_subdirectory: str = ""
    runtime_appdirectory: str = "config"
    runtime_watch_root: Boolean = True
    runtime_ignoredotfiles: Boolean = False
    merge_domain_config: Boolean = False
    force_start_without_initial_config: Boolean = False
    healthy_with_at_least_one_config_loaded: Boolean = False
    config_strict: Boolean = True
    config_file_bytes_max: Positive = 4 * 1024 * 1024
    config_depth_max: Positive = 64
    config_nodes_max: Positive = 500_000
    config_aliases_max: Count = 1_000


def _a_clock_of_redis_needs_redis(group: Any) -> str | None:
    lacking = group.store_clock == "redis" and group.backend_type != "redis"
    return f"redis has no clock to follow, since BACKEND_TYPE is {group.backend_type}" if lacking else None


class LimiterSettings(Group):
    """How hits are counted."""

    backend_type: Literal["redis", "memory", "memcache"] = "redis"
    near_limit_ratio: float = Field(default=0.8, ge=0, le=1)
    local_cache_size_in_bytes: Count = 0
    expiration_jitter_max_seconds: Annotated[Count, Field(le=INT32_MAX)] = 300
    cache_key_prefix: str = ""
    counter_key_format: Literal["exact", "reference"] = "exact"
    store_clock: Annotated[Literal["local", "redis"], Lower] = "local"
    use_calendar_month_rate_limit: Boolean = False
    pending_hits_max: Positive = 100_000
    memory_store_bytes_max: Positive = 20 * 1024 * 1024
    stop_cache_key_increment_when_overlimit: Boolean = False

    rules = (Rule(("store_clock", "backend_type"), _a_clock_of_redis_needs_redis),)


def _redis_url_is_usable(group: Any) -> str | None:
    try:
        group.place  # noqa: B018 - reading it is the test
    except ValueError as error:
        return str(error)
    return None


def _persecond_url_is_usable(group: Any) -> str | None:
    try:
        group.persecond_place  # noqa: B018 - reading it is the test
    except ValueError as error:
        return str(error).replace("REDIS_", "REDIS_PERSECOND_")
    return None


def _tls_pair_is_whole(group: Any) -> str | None:
    whole = bool(group.redis_tls_client_cert) == bool(group.redis_tls_client_key)
    return None if whole else "REDIS_TLS_CLIENT_CERT and REDIS_TLS_CLIENT_KEY belong together, and one is missing"


RedisType = Annotated[Literal["SINGLE", "SENTINEL", "CLUSTER"], Upper]
NoCluster = not_yet("CLUSTER")


class RedisSettings(Group):
    """The counter store. Pool and pipeline sizes are accepted without effect: one multiplexed connection serves."""

    redis_socket_type: Literal["tcp", "unix"] = "unix"
    redis_type: Annotated[RedisType, NoCluster] = "SINGLE"
    redis_url: str = Field(default="/var/run/nutcracker/ratelimit.sock", repr=False)
    redis_auth: str = Field(default="", repr=False)
    redis_sentinel_auth: str = Field(default="", repr=False)
    redis_tls: Boolean = False
    redis_tls_client_cert: str = ""
    redis_tls_client_key: str = ""
    redis_tls_cacert: str = ""
    redis_tls_skip_hostname_verification: Boolean = False
    redis_timeout: Annotated[Duration, Field(gt=0)] = 0.01
    redis_health_check_active_connection: Boolean = False
    redis_close_connection_on_readonly_error: Boolean = False
    redis_startup_initial_interval: Duration = 1.0
    redis_startup_max_interval: Duration = 30.0
    redis_startup_max_elapsed_time: Duration = 0.0
    redis_pool_size: Count = 10
    redis_pipeline_window: Duration = 0.0
    redis_pipeline_limit: Count = 0
    redis_cluster_pipeline_parallelism: Count = 1
    redis_persecond: Boolean = False
    redis_persecond_socket_type: Literal["tcp", "unix"] = "unix"
    redis_persecond_type: Annotated[RedisType, NoCluster] = "SINGLE"
    redis_persecond_url: str = Field(default="/var/run/nutcracker/ratelimitpersecond.sock", repr=False)
    redis_persecond_auth: str = Field(default="", repr=False)
    redis_persecond_sentinel_auth: str = Field(default="", repr=False)
    redis_persecond_tls: Boolean = False
    redis_persecond_timeout: Annotated[Duration, Field(gt=0)] = 0.01
    redis_persecond_pool_size: Count = 10
    redis_persecond_pipeline_window: Duration = 0.0
    redis_persecond_pipeline_limit: Count = 0
    redis_persecond_cluster_pipeline_parallelism: Count = 1

    rules = (
        Rule(("redis_url", "redis_socket_type", "redis_type"), _redis_url_is_usable),
        Rule(
            ("redis_persecond_url", "redis_persecond", "redis_persecond_socket_type", "redis_persecond_type"),
            _persecond_url_is_usable,
        ),
        Rule(("redis_tls_client_cert", "redis_tls_client_key"), _tls_pair_is_whole),
    )

    @property
    def place(self) -> RedisPlace:
        """The main store: REDIS_URL with REDIS_TYPE, REDIS_AUTH and REDIS_TLS. Raises ValueError while made."""
        return self._place("redis")

    @property
    def persecond_place(self) -> RedisPlace | None:
        """The store of limits per second, None without one. Raises ValueError while made."""
        return self._place("redis_persecond") if self.redis_persecond else None

    @property
    def timeout_s(self) -> float:
        """The longest that a batch may take in any of the stores."""
        return max(self.redis_timeout, self.redis_persecond_timeout if self.redis_persecond else 0.0)

    def _place(self, prefix: str) -> RedisPlace:
        def given(name: str) -> Any:
            return getattr(self, f"{prefix}_{name}")

        login = replace(RedisTarget().with_credentials(given("auth")), tls=given("tls"))
        access = Access(login, given("sentinel_auth"), unix=given("socket_type") == "unix")
        master, servers = servers_of(given("type"), given("url"), access)
        return RedisPlace(
            given("type"),
            servers,
            login,
            given("timeout"),
            master=master,
            tls=TlsFiles(
                self.redis_tls_client_cert,
                self.redis_tls_client_key,
                self.redis_tls_cacert,
                check_hostname=not self.redis_tls_skip_hostname_verification,
            ),
            startup=Backoff(
                self.redis_startup_initial_interval,
                self.redis_startup_max_interval,
                self.redis_startup_max_elapsed_time,
            ),
            variable=f"{prefix}_url".upper(),
        )


def _memcache_srv_is_a_name(group: Any) -> str | None:
    usable = not group.memcache_srv or SRV_NAME.fullmatch(group.memcache_srv)
    return None if usable else "_service._protocol.name is wanted"


def _memcache_hosts_are_usable(group: Any) -> str | None:
    try:
        addresses = group.addresses
    except ValueError as error:
        return str(error)
    return None if all(host for host, _ in addresses) else "host:port is wanted, each with a host"


class MemcacheSettings(Group):
    """The counter store with BACKEND_TYPE=memcache. The number of connections has no effect: one serves per server."""

    memcache_host_port: str = ""
    memcache_srv: str = ""
    memcache_srv_refresh: Duration = 0.0
    memcache_max_idle_conns: Integer = 2

    rules = (
        Rule(("memcache_host_port",), _memcache_hosts_are_usable),
        Rule(("memcache_srv",), _memcache_srv_is_a_name),
    )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The hosts and ports of MEMCACHE_HOST_PORT, in their order. Raises ValueError while made."""
        return [host_and_port(text.strip()) for text in self.memcache_host_port.split(",") if text.strip()]


class ResponseSettings(Group):
    """What is said to the caller."""

    shadow_mode: Boolean = False
    quota_mode: Boolean = False
    limit_response_headers_enabled: Boolean = False
    limit_limit_header: HeaderName = "RateLimit-Limit"
    limit_remaining_header: HeaderName = "RateLimit-Remaining"
    limit_reset_header: HeaderName = "RateLimit-Reset"
    response_dynamic_metadata: Boolean = False


def _at_most_one_sink(group: Any) -> str | None:
    both = group.use_prometheus and group.use_statsd and not group.disable_stats
    return "at most one of USE_STATSD and USE_PROMETHEUS may be true" if both else None


def _checked_address(text: str) -> str:
    host_and_port(text)
    return text


class MetricsSettings(Group):
    """Where metrics go. Prometheus is on unless another sink or DISABLE_STATS is chosen."""

    use_prometheus: Boolean | None = None
    prometheus_addr: Annotated[str, AfterValidator(_checked_address)] = ":9090"
    prometheus_path: str = Field(default="/metrics", pattern=r"^/[^\s{}?#]*$")
    prometheus_mapper_yaml: str = ""
    prometheus_response_time_as_milliseconds: Boolean = False
    metrics_series_max: Positive = 10_000
    disable_stats: Boolean = False
    use_statsd: Boolean | None = None
    statsd_host: str = "localhost"
    statsd_port: Port = 8125
    extra_tags: Pairs = Field(default_factory=dict)
    stats_flush_interval: Annotated[Duration, Field(gt=0)] = 10.0

    rules = (Rule(("use_statsd", "use_prometheus", "disable_stats"), _at_most_one_sink),)

    @property
    def statsd_on(self) -> bool:
        """Whether statsd is fed: only where it is asked for."""
        return bool(self.use_statsd) and not self.disable_stats

    @property
    def prometheus_on(self) -> bool:
        """Whether PROMETHEUS_ADDR is served: by default, where no other sink is chosen."""
        return not self.disable_stats and (not self.use_statsd if self.use_prometheus is None else self.use_prometheus)


class LogSettings(Group):
    """What is logged, and in which shape."""

    log_level: Annotated[Literal["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"], Lower] = (
        "warn"
    )
    log_format: Annotated[Literal["text", "json"], Lower] = "text"
