"""DogStatsD and traces: settings of what the service tells of itself."""

from typing import Annotated

from pydantic import Field

from ratelimit.settings.go_values import Boolean, Items, boolean
from ratelimit.settings.groups import Group


class DogStatsdSettings(Group):
    """DogStatsD, with rules that make tags of names: DOG_STATSD_MOGRIFIER_<name>_PATTERN, _NAME and _TAGS."""

    use_dog_statsd: Boolean = False
    use_dog_statsd_mogrifiers: Items = ()
    dd_entity_id: str = ""
    dd_env: str = ""
    dd_service: str = ""
    dd_version: str = ""
    dd_origin_detection_enabled: str = ""

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


class TracingSettings(Group):
    """Traces. Where they go to is told by OTEL_EXPORTER_OTLP_ENDPOINT and the like."""

    tracing_enabled: Boolean = False
    tracing_exporter_protocol: str = "http"
    tracing_service_name: str = "RateLimit"
    tracing_service_namespace: str = ""
    tracing_service_instance_id: str = ""
    tracing_sampling_rate: Annotated[float, Field(allow_inf_nan=False)] = 1.0
