"""Every setting, grouped by concern: the field is the environment variable's name in lower case.

Durations are in seconds. Defaults are envoyproxy/ratelimit's, but for those that docs/differences.md names.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ratelimit.settings.go_values import Boolean, Duration, Integer, Pairs

Port = Annotated[Integer, Field(ge=0, le=65535)]
Count = Annotated[Integer, Field(ge=0)]
Positive = Annotated[Integer, Field(ge=1)]
Upper = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class Group(BaseModel):
    """Settings of one concern, frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


def not_yet(field: str, *refused: Any) -> Any:
    """Refuse values that envoyproxy/ratelimit knows and this version does not act on: better than counting wrongly."""

    def check(group: Any) -> Any:
        if getattr(group, field) in refused:
            value = str(getattr(group, field))
            raise ValueError(f"{field.upper()}: {value.lower() if value == 'True' else value} is not supported yet")
        return group

    return model_validator(mode="after")(check)


class ServerSettings(Group):
    """Where the service listens, and how it ends."""

    host: str = "0.0.0.0"
    port: Port = 8080
    debug_host: str = "127.0.0.1"
    debug_port: Port = 6070
    http_connections_max: Positive = 200
    http_header_timeout: Annotated[Duration, Field(gt=0)] = 10.0
    reuse_port: Boolean = False
    grpc_host: str = "0.0.0.0"
    grpc_port: Port = 8081
    grpc_uds: str = ""
    grpc_transport: Literal["grpcio"] = "grpcio"
    grpc_max_connection_age: Duration = 24 * 3600.0
    grpc_max_connection_age_grace: Duration = 3600.0
    grpc_max_recv_msg_bytes: Positive = 4 * 1024 * 1024
    grpc_reflection: Boolean = True
    grpc_error_codes: Literal["exact", "reference"] = "exact"
    grpc_server_use_tls: Boolean = False
    grpc_server_tls_cert: str = ""
    grpc_server_tls_key: str = ""
    grpc_client_tls_cacert: str = ""
    grpc_client_tls_san: str = ""
    drain_delay: Duration = 2.0
    drain_grace: Duration = 30.0

    @model_validator(mode="after")
    def _tls_needs_files(self) -> "ServerSettings":
        for name in ("grpc_server_tls_cert", "grpc_server_tls_key"):
            if self.grpc_server_use_tls and not getattr(self, name):
                raise ValueError(f"{name.upper()}: a file is wanted, since GRPC_SERVER_USE_TLS is true")
        return self


class ConfigSettings(Group):
    """Where the rate limit configuration comes from, and how much of it is accepted."""

    config_type: Literal["FILE", "GRPC_XDS_SOTW"] = "FILE"
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

    _sources = not_yet("config_type", "GRPC_XDS_SOTW")


class LimiterSettings(Group):
    """How hits are counted."""

    backend_type: Literal["redis", "memory", "memcache"] = "redis"
    near_limit_ratio: float = Field(default=0.8, ge=0, le=1)
    local_cache_size_in_bytes: Count = 0
    expiration_jitter_max_seconds: Count = 300
    cache_key_prefix: str = ""
    counter_key_format: Literal["exact", "reference"] = "exact"
    pending_hits_max: Positive = 100_000
    memory_store_bytes_max: Positive = 24 * 1024 * 1024
    stop_cache_key_increment_when_overlimit: Boolean = False

    _backends = not_yet("backend_type", "memcache")
    _stop = not_yet("stop_cache_key_increment_when_overlimit", True)


class RedisSettings(Group):
    """The counter store. Pool and pipeline sizes are accepted without effect: one multiplexed connection serves."""

    redis_socket_type: Literal["tcp", "unix"] = "unix"
    redis_type: Annotated[Literal["SINGLE", "SENTINEL", "CLUSTER"], Upper] = "SINGLE"
    redis_url: str = "/var/run/nutcracker/ratelimit.sock"
    redis_auth: str = Field(default="", repr=False)
    redis_tls: Boolean = False
    redis_tls_client_cert: str = ""
    redis_tls_client_key: str = ""
    redis_tls_cacert: str = ""
    redis_tls_skip_hostname_verification: Boolean = False
    redis_timeout: Annotated[Duration, Field(gt=0)] = 0.01
    redis_health_check_active_connection: Boolean = False
    redis_startup_initial_interval: Duration = 1.0
    redis_startup_max_interval: Duration = 30.0
    redis_startup_max_elapsed_time: Duration = 0.0
    redis_persecond: Boolean = False
    redis_pool_size: Count = 10
    redis_pipeline_window: Duration = 0.0
    redis_pipeline_limit: Count = 0
    redis_cluster_pipeline_parallelism: Count = 1

    _types = not_yet("redis_type", "SENTINEL", "CLUSTER")
    _persecond = not_yet("redis_persecond", True)


class ResponseSettings(Group):
    """What is said to the caller."""

    shadow_mode: Boolean = False
    quota_mode: Boolean = False
    limit_response_headers_enabled: Boolean = False
    limit_limit_header: str = "RateLimit-Limit"
    limit_remaining_header: str = "RateLimit-Remaining"
    limit_reset_header: str = "RateLimit-Reset"
    response_dynamic_metadata: Boolean = False


class MetricsSettings(Group):
    """Where metrics go. Prometheus is on unless another sink or DISABLE_STATS is chosen."""

    use_prometheus: Boolean | None = None
    prometheus_addr: str = ":9090"
    prometheus_path: str = Field(default="/metrics", pattern="^/")
    prometheus_mapper_yaml: str = Field(default="", max_length=0)
    metrics_series_max: Positive = 10_000
    disable_stats: Boolean = False
    use_statsd: Boolean | None = None
    use_dog_statsd: Boolean = False
    statsd_host: str = "localhost"
    statsd_port: Port = 8125
    extra_tags: Pairs = Field(default_factory=dict)
    stats_flush_interval: Annotated[Duration, Field(gt=0)] = 10.0

    _dog = not_yet("use_dog_statsd", True)

    @model_validator(mode="after")
    def _one_sink(self) -> "MetricsSettings":
        if self.use_prometheus and self.use_statsd and not self.disable_stats:
            raise ValueError("USE_STATSD: at most one of USE_STATSD and USE_PROMETHEUS may be true")
        return self

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


class TracingSettings(Group):
    """Traces: known, not supported yet."""

    tracing_enabled: Boolean = False

    _tracing = not_yet("tracing_enabled", True)
