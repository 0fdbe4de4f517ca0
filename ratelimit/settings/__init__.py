"""Frozen settings, and the only reader of the environment."""

import difflib
import os
from collections.abc import Mapping, MutableMapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ratelimit.errors import SettingsError
from ratelimit.settings.groups import (
    BrokenRulesError,
    ConfigSettings,
    Group,
    LimiterSettings,
    LogSettings,
    MemcacheSettings,
    MetricsSettings,
    RedisSettings,
    ResponseSettings,
    Rule,
    ServerSettings,
)
from ratelimit.settings.mogrifiers import Mogrifier, read_mogrifiers
from ratelimit.settings.telling import DogStatsdSettings, TracingSettings

__all__ = [
    "ConfigSettings",
    "DogStatsdSettings",
    "LimiterSettings",
    "LogSettings",
    "MemcacheSettings",
    "MetricsSettings",
    "Mogrifier",
    "RedisSettings",
    "ResponseSettings",
    "ServerSettings",
    "Settings",
    "TracingSettings",
    "load_settings",
    "quieten_grpc",
]

SHOWN_MAX = 100
# Their values appear nowhere: not in an error, not in a log, not in the settings' repr.
_SECRETS = frozenset(
    f"{store}_{name}" for store in ("REDIS", "REDIS_PERSECOND") for name in ("AUTH", "SENTINEL_AUTH", "URL")
)


class Settings(BaseModel):
    """All settings; each group can be made on its own in a test."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    server: ServerSettings = Field(default_factory=ServerSettings)
    config: ConfigSettings = Field(default_factory=ConfigSettings)
    limiter: LimiterSettings = Field(default_factory=LimiterSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    memcache: MemcacheSettings = Field(default_factory=MemcacheSettings)
    response: ResponseSettings = Field(default_factory=ResponseSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    dog_statsd: DogStatsdSettings = Field(default_factory=DogStatsdSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    mogrifiers: tuple[Mogrifier, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def prometheus_on(self) -> bool:
        """Whether PROMETHEUS_ADDR is served: by default, where no other sink is chosen."""
        unasked = self.metrics.use_prometheus is None
        return self.metrics.prometheus_on and not (unasked and self.dog_statsd.use_dog_statsd)

    @property
    def dog_statsd_on(self) -> bool:
        """Whether DogStatsD is told."""
        return self.dog_statsd.use_dog_statsd and not self.metrics.disable_stats


def _memory_for_several(settings: Settings) -> str | None:
    several = settings.limiter.backend_type == "memory" and settings.server.workers != 1
    reason = f"memory counts in one process only, and WORKERS is {settings.server.workers}"
    return reason if several else None


def _one_place_for_memcache(settings: Settings) -> str | None:
    memcache = settings.memcache
    if settings.limiter.backend_type != "memcache" or bool(memcache.addresses) != bool(memcache.memcache_srv):
        return None
    return "either this or MEMCACHE_SRV is wanted, since BACKEND_TYPE is memcache" + (
        ", not both" if memcache.memcache_srv else ""
    )


def _at_most_one_with_dog_statsd(settings: Settings) -> str | None:
    others = settings.metrics.use_statsd or settings.metrics.use_prometheus
    several = settings.dog_statsd_on and others
    return "at most one of USE_DOG_STATSD, USE_STATSD and USE_PROMETHEUS may be true" if several else None


def _known_protocol(settings: Settings) -> str | None:
    tracing = settings.tracing
    known = not tracing.tracing_enabled or tracing.tracing_exporter_protocol in {"", "http", "grpc"}
    return None if known else "http or grpc is wanted"


# What must hold between fields of several groups; looked at where all groups are right.
_RULES = (
    Rule(("backend_type", "workers"), _memory_for_several),
    Rule(("memcache_host_port", "memcache_srv", "backend_type"), _one_place_for_memcache),
    Rule(("use_dog_statsd", "use_statsd", "use_prometheus", "disable_stats"), _at_most_one_with_dog_statsd),
    Rule(("tracing_exporter_protocol", "tracing_enabled"), _known_protocol),
)


def groups() -> dict[str, type[Group]]:
    """The groups by their field in `Settings`."""
    fields = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: kind for name, kind in fields.items() if isinstance(kind, type) and issubclass(kind, Group)}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment (the process's own for None). Raises SettingsError that names every variable at fault."""
    environ = os.environ if environ is None else environ
    loaded: dict[str, Any] = {}
    problems: list[tuple[str, str]] = []
    for name, group in groups().items():
        given = {field: environ[field.upper()] for field in group.model_fields if field.upper() in environ}
        try:
            loaded[name] = group.model_validate(given)
        except ValidationError as error:
            problems += _problems(group, given, error)
    settings = Settings(**loaded, warnings=tuple(_misspelt(environ)))
    if settings.dog_statsd_on:
        mogrifiers, broken = read_mogrifiers(settings.dog_statsd.use_dog_statsd_mogrifiers, environ)
        settings = settings.model_copy(update={"mogrifiers": mogrifiers})
        problems += broken
    if len(loaded) == len(groups()):
        problems += [(rule.fields[0].upper(), reason) for rule in _RULES if (reason := rule.broken(settings))]
    if problems:
        raise SettingsError(problems)
    return settings


def quieten_grpc(environ: MutableMapping[str, str] | None = None) -> None:
    """Keep gRPC's core from writing what is no error, unless GRPC_VERBOSITY asks for it. Before grpc is imported.

    It would write a line past our log for each handshake that fails: a flood that any client can cause.
    """
    (os.environ if environ is None else environ).setdefault("GRPC_VERBOSITY", "ERROR")


def _problems(group: type[Group], given: Mapping[str, str], error: ValidationError) -> list[tuple[str, str]]:
    """All that is wrong with a group.

    Rules are looked at only when every field passes: a second try without the wrong fields finds the broken ones, but
    for those that read a wrong field.
    """
    wrong = {str(found["loc"][0]): str(found["msg"]) for found in error.errors() if found["loc"]}
    problems = [(field.upper(), _reason(field, message, given)) for field, message in wrong.items()]
    try:
        group.model_validate({field: value for field, value in given.items() if field not in wrong})
    except ValidationError as rules:
        for found in rules.errors():
            broken: BrokenRulesError = found["ctx"]["error"]
            problems += [
                (rule.fields[0].upper(), reason)
                for rule, reason in broken.problems
                if wrong.keys().isdisjoint(rule.fields)
            ]
    return problems


def _reason(field: str, message: str, given: Mapping[str, str]) -> str:
    reason = message.removeprefix("Value error, ")
    value = given[field]
    shown = f" (is {value[:SHOWN_MAX]!r}{'…' if len(value) > SHOWN_MAX else ''})"
    return reason if field.upper() in _SECRETS else f"{reason}{shown}"


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and are not: a near miss would silently leave a default in force."""
    known = [field.upper() for group in groups().values() for field in group.model_fields]
    ours = ("REDIS_", "GRPC_", "RUNTIME_", "LIMIT_", "PROMETHEUS_", "CONFIG_", "MEMCACHE_")
    found = []
    for name in environ:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if name.startswith(ours) and name not in known and near:
            found.append(f"{name} is not a setting; did you mean {near[0]}?")
    return found
