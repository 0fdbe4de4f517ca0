"""Frozen settings, and the only reader of the environment."""

import os
from collections.abc import Mapping, MutableMapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ratelimit.errors import SettingsError
from ratelimit.settings.answers import ResponseSettings
from ratelimit.settings.counting import LimiterSettings, MemcacheSettings
from ratelimit.settings.group import Group, about
from ratelimit.settings.mogrifiers import PREFIX, Mogrifier, read_mogrifiers
from ratelimit.settings.names import near_misses
from ratelimit.settings.observing import DogStatsdSettings, LogSettings, MetricsSettings, TracingSettings
from ratelimit.settings.quota import QuotaSettings
from ratelimit.settings.redis import RedisSettings
from ratelimit.settings.rules import RULES, WITHOUT_EFFECT
from ratelimit.settings.server import ServerSettings
from ratelimit.settings.sources import ConfigSettings, XdsSettings

__all__ = [
    "ConfigSettings",
    "DogStatsdSettings",
    "LimiterSettings",
    "LogSettings",
    "MemcacheSettings",
    "MetricsSettings",
    "Mogrifier",
    "QuotaSettings",
    "RedisSettings",
    "ResponseSettings",
    "ServerSettings",
    "Settings",
    "TracingSettings",
    "XdsSettings",
    "groups",
    "load_settings",
    "quieten_grpc",
]

SHOWN_MAX = 100
# What Kubernetes puts into `<SERVICE>_PORT` of every container of a namespace.
_OF_A_SERVICE = ("tcp://", "udp://")


class Settings(BaseModel):
    """All settings; each group can be made on its own in a test.

    `notes` has, for variables that do not act as they were given, why: (variable, reason). `hints` has names of the
    environment that are no setting and look like one: (name, the setting).
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    server: ServerSettings = Field(default_factory=ServerSettings)
    config: ConfigSettings = Field(default_factory=ConfigSettings)
    xds: XdsSettings = Field(default_factory=XdsSettings)
    limiter: LimiterSettings = Field(default_factory=LimiterSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    memcache: MemcacheSettings = Field(default_factory=MemcacheSettings)
    quota: QuotaSettings = Field(default_factory=QuotaSettings)
    response: ResponseSettings = Field(default_factory=ResponseSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    dog_statsd: DogStatsdSettings = Field(default_factory=DogStatsdSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    mogrifiers: tuple[Mogrifier, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    hints: tuple[tuple[str, str], ...] = ()

    @property
    def prometheus_on(self) -> bool:
        """Whether PROMETHEUS_ADDR is served: by default, where no other sink is chosen and it can be."""
        unasked = self.metrics.use_prometheus is None
        return self.metrics.prometheus_on and not (unasked and self.dog_statsd.use_dog_statsd)

    @property
    def dog_statsd_on(self) -> bool:
        """Whether DogStatsD is told."""
        return self.dog_statsd.use_dog_statsd and not self.metrics.disable_stats

    @property
    def warnings(self) -> tuple[str, ...]:
        """Notes and hints as sentences, for the log."""
        misspelt = (f"{name} is not a setting; did you mean {near}?" for name, near in self.hints)
        return (*(f"{name} {reason}" for name, reason in self.notes), *misspelt)


def groups() -> dict[str, type[Group]]:
    """The groups by their field in `Settings`."""
    fields = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {name: kind for name, kind in fields.items() if isinstance(kind, type) and issubclass(kind, Group)}


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment (the process's own for None). Raises SettingsError that names every variable at fault."""
    environ = os.environ if environ is None else environ
    wrong: dict[str, str] = {}
    notes: list[tuple[str, str]] = []
    loaded: dict[str, Group] = {}
    for name, kind in groups().items():
        given = {field: environ[field.upper()] for field in kind.model_fields if field.upper() in environ}
        loaded[name] = _load(kind, given, wrong, notes)
    settings = Settings.model_validate(loaded)
    problems = [(name.upper(), reason) for name, reason in wrong.items()]
    broken: dict[str, str] = {}
    for rule in RULES:
        # What reads a wrong field cannot be judged; of the rules of a field the first one broken is told.
        if wrong.keys().isdisjoint(rule.fields) and (reason := rule.said(settings)):
            broken.setdefault(rule.fields[0].upper(), reason)
    problems += broken.items()
    names = settings.dog_statsd.use_dog_statsd_mogrifiers if settings.dog_statsd_on else ()
    mogrifiers, unreadable = read_mogrifiers(names, environ)
    problems += unreadable
    if problems:
        raise SettingsError(problems)
    notes += [
        (rule.fields[0], f"has no effect: {reason}") for rule in WITHOUT_EFFECT if (reason := rule.said(settings))
    ]
    return settings.model_copy(
        update={
            "mogrifiers": mogrifiers,
            "notes": tuple((name.upper(), reason) for name, reason in notes),
            "hints": tuple(near_misses(_unclaimed(environ), variables()).items()),
        }
    )


def variables() -> dict[str, type[Group]]:
    """Every variable, in the order of the documentation, with its group."""
    return {field.upper(): kind for kind in groups().values() for field in kind.model_fields}


def quieten_grpc(environ: MutableMapping[str, str] | None = None) -> None:
    """Keep gRPC's core from writing what is no error, unless GRPC_VERBOSITY asks for it. Before grpc is imported.

    It would write a line past our log for each handshake that fails: a flood that any client can cause.
    """
    (os.environ if environ is None else environ).setdefault("GRPC_VERBOSITY", "ERROR")


def _load(kind: type[Group], given: Mapping[str, str], wrong: dict[str, str], notes: list[tuple[str, str]]) -> Group:
    """A group of the fields that are right; `wrong` gets the others, `notes` what does not act as it was given."""
    said: list[tuple[str, str]] = []
    try:
        group = kind.model_validate(given, context=said)
    except ValidationError as error:
        found = {str(each["loc"][0]): str(each["msg"]) for each in error.errors()}
        wrong |= {field: _reason(kind, field, message, given[field]) for field, message in found.items()}
        return kind.model_validate({field: value for field, value in given.items() if field not in found})
    for field in given:
        reason = about(kind.model_fields[field]).no_effect
        if reason and getattr(group, field) != kind.model_fields[field].default:
            notes.append((field, f"has no effect: {reason}"))
    notes += [(field, f"is {_shown(given[field])}: {reason}") for field, reason in said]
    return group


def _reason(kind: type[Group], field: str, message: str, value: str) -> str:
    reason = message.removeprefix("Value error, ")
    if value.startswith(_OF_A_SERVICE) and field.endswith("port"):
        reason += "; Kubernetes sets this for a service of that name, unless the pod has enableServiceLinks: false"
    return reason if about(kind.model_fields[field]).secret else f"{reason} (is {_shown(value)})"


def _shown(value: str) -> str:
    return f"{value[:SHOWN_MAX]!r}{'…' if len(value) > SHOWN_MAX else ''}"


def _unclaimed(environ: Mapping[str, str]) -> list[str]:
    return [name for name in environ if not name.startswith(PREFIX)]
