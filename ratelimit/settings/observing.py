"""What the service tells of itself: metrics, logs, traces."""

import math
import re
from typing import Annotated, Literal

from pydantic import BeforeValidator

from ratelimit.settings.addresses import host_and_port
from ratelimit.settings.go_values import Boolean, Integer, Items, Number, Pairs, boolean
from ratelimit.settings.group import Bound, Group, Lower, Positive, read_as, setting

PORT_MAX = 65535
_PATH = re.compile(r"/[^\s{}?#]*")


def _statsd_port(value: int) -> tuple[int, str] | None:
    return None if 0 <= value <= PORT_MAX else (0, "no such port: nothing can be sent")


def _log_format(value: str) -> tuple[str, str] | None:
    return None if value in {"text", "json"} else ("text", "text and json are the formats, and text it is")


def _rate(value: float) -> tuple[float, str] | None:
    if math.isnan(value):
        return 0.0, "no number: no trace is begun here"
    return None if 0 <= value <= 1 else (min(max(value, 0.0), 1.0), "")


Level = Literal["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"]


class MetricsSettings(Group):
    """Where metrics go. Prometheus is on unless another sink or DISABLE_STATS is chosen."""

    use_prometheus: Boolean | None = setting(None, "unset: on, unless another sink is chosen", reference="false")
    prometheus_addr: Annotated[str, BeforeValidator(lambda value: value or ":9090")] = setting(
        ":9090", "address of the metrics, with its port; `:9090` and `[::]:9090` are all interfaces"
    )
    prometheus_path: Annotated[str, BeforeValidator(lambda value: value or "/metrics")] = setting(
        "/metrics", "their path"
    )
    prometheus_mapper_yaml: str = setting(
        "",
        "a mapping file of statsd_exporter: names and labels as it says, from the names of statsd; one that cannot be "
        "used is told in the log, and maps nothing",
    )
    prometheus_response_time_as_milliseconds: Boolean = setting(
        False,
        "response times in milliseconds under the same name, as old versions of the reference had them; no effect "
        "with a mapping file",
    )
    metrics_series_max: Positive = setting(
        10_000,
        "names that callers choose (values in metrics, overrides, unknown domains) with counters of their own; the "
        "rest share `__other__`. Configured limits always have their own",
        ours=True,
    )
    disable_stats: Boolean = setting(False, "no sink at all")
    use_statsd: Boolean | None = setting(None, "statsd over TCP in place of Prometheus", reference="true")
    statsd_host: str = setting("localhost", "its host")
    statsd_port: Annotated[Integer, read_as(_statsd_port)] = setting(8125, "its port")
    extra_tags: Pairs = setting({}, "`k:v,k:v` into the names of statsd")
    stats_flush_interval: Bound = setting(10.0, "how often statsd is told")

    @property
    def statsd_on(self) -> bool:
        """Whether statsd is fed: only where it is asked for."""
        return bool(self.use_statsd) and not self.disable_stats

    @property
    def prometheus_on(self) -> bool:
        """Whether PROMETHEUS_ADDR is served: by default, where no other sink is chosen and it can be."""
        by_default = not self.use_statsd and not any(self.unusable.values())
        return not self.disable_stats and (by_default if self.use_prometheus is None else self.use_prometheus)

    @property
    def unusable(self) -> dict[str, str]:
        """What is wrong with PROMETHEUS_ADDR and PROMETHEUS_PATH; empty where nothing is."""
        address, path = "", ""
        try:
            host_and_port(self.prometheus_addr)
        except ValueError as error:
            address = str(error)
        if not _PATH.fullmatch(self.prometheus_path):
            path = "a path is wanted, for instance /metrics"
        return {"prometheus_addr": address, "prometheus_path": path}


class DogStatsdSettings(Group):
    """DogStatsD, with rules that make tags of names: DOG_STATSD_MOGRIFIER_<name>_PATTERN, _NAME and _TAGS."""

    use_dog_statsd: Boolean = setting(
        False,
        "DogStatsD over UDP in place of Prometheus, at `STATSD_HOST` and `STATSD_PORT`; `EXTRA_TAGS` are its tags",
    )
    use_dog_statsd_mogrifiers: Items = setting(
        (),
        "names of mogrifiers, `a,b`: of each the variables `DOG_STATSD_MOGRIFIER_<name>_PATTERN` (what a name must "
        "match), `_NAME` (what it becomes, with `$1` for its parts) and `_TAGS` (`k:v,k:v`, likewise), the name in "
        "upper case",
    )
    dd_entity_id: str = setting(
        "", "the tag `dd.internal.entity_id` of every line, as Datadog's library has it", ours=True
    )
    dd_env: str = setting("", "the tag `env` of every line", ours=True)
    dd_service: str = setting("", "the tag `service` of every line", ours=True)
    dd_version: str = setting("", "the tag `version` of every line", ours=True)

    dd_origin_detection_enabled: str = setting(
        "", "false: lines do not name their container; with `DD_ENTITY_ID` they do not either", ours=True
    )

    @property
    def tells_container(self) -> bool:
        """Whether lines name their container: unless DD_ENTITY_ID names the pod, or false is what is said."""
        try:
            wanted = not self.dd_origin_detection_enabled or bool(boolean(self.dd_origin_detection_enabled))
        except ValueError:
            wanted = True
        return wanted and not self.dd_entity_id

    @property
    def tags(self) -> tuple[str, ...]:
        """What the client library of Datadog puts before the tags of every line, from its own variables."""
        named = (
            ("dd.internal.entity_id", self.dd_entity_id),
            ("env", self.dd_env),
            ("service", self.dd_service),
            ("version", self.dd_version),
        )
        return tuple(f"{tag}:{value}" for tag, value in named if value)


class LogSettings(Group):
    """What is logged, and in which shape."""

    log_level: Annotated[Level, Lower] = setting(
        "warn", "trace, debug, info, warn (or warning), error, fatal or panic, in any case"
    )
    log_format: Annotated[str, Lower, read_as(_log_format)] = setting(
        "text", "`text` or `json` (`@timestamp`, `@message`), in any case; whatever else is text"
    )


class TracingSettings(Group):
    """Traces. Where they go to is told by OTEL_EXPORTER_OTLP_ENDPOINT and the like."""

    tracing_enabled: Boolean = setting(False, "traces over OTLP")
    tracing_exporter_protocol: str = setting("http", "`http` (or empty) or `grpc`")
    tracing_service_name: str = setting("RateLimit", "service.name of the traces")
    tracing_service_namespace: str = setting("", "their service.namespace")
    tracing_service_instance_id: str = setting("", "their service.instance.id; a random one where empty")
    tracing_sampling_rate: Annotated[Number, read_as(_rate)] = setting(
        1.0, "the part of requests without a trace of their own that begins one, 0 to 1"
    )
