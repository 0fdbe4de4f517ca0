"""Frozen settings, and the only reader of the environment."""

import difflib
import os
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ratelimit.errors import SettingsError
from ratelimit.settings.groups import (
    ConfigSettings,
    Group,
    LimiterSettings,
    LogSettings,
    MetricsSettings,
    RedisSettings,
    ResponseSettings,
    ServerSettings,
    TracingSettings,
)

__all__ = [
    "ConfigSettings",
    "LimiterSettings",
    "LogSettings",
    "MetricsSettings",
    "RedisSettings",
    "ResponseSettings",
    "ServerSettings",
    "Settings",
    "load_settings",
]

_SECRETS = frozenset(("REDIS_AUTH", "REDIS_URL"))
_NAMED = re.compile(r"([A-Z][A-Z0-9_]+): (.*)", re.DOTALL)


class Settings(BaseModel):
    """All settings; each group can be made on its own in a test."""

    model_config = ConfigDict(frozen=True)

    server: ServerSettings = Field(default_factory=ServerSettings)
    config: ConfigSettings = Field(default_factory=ConfigSettings)
    limiter: LimiterSettings = Field(default_factory=LimiterSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    response: ResponseSettings = Field(default_factory=ResponseSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    tracing: TracingSettings = Field(default_factory=TracingSettings)
    warnings: tuple[str, ...] = ()


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
            problems += [_problem(found, environ) for found in error.errors()]
    if problems:
        raise SettingsError(problems)
    return Settings(**loaded, warnings=tuple(_misspelt(environ)))


def _problem(found: Any, environ: Mapping[str, str]) -> tuple[str, str]:
    reason = str(found["msg"]).removeprefix("Value error, ")
    if not found["loc"]:
        named = _NAMED.fullmatch(reason)
        return (named[1], named[2]) if named else ("settings", reason)
    name = str(found["loc"][0]).upper()
    value = "" if name in _SECRETS else f" (is {environ.get(name, '')!r})"
    return name, f"{reason}{value}"


def _misspelt(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like ours and are not: a near miss would silently leave a default in force."""
    known = [field.upper() for group in groups().values() for field in group.model_fields]
    ours = ("REDIS_", "GRPC_", "RUNTIME_", "LIMIT_", "PROMETHEUS_", "CONFIG_")
    found = []
    for name in environ:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
        if name.startswith(ours) and name not in known and near:
            found.append(f"{name} is not a setting; did you mean {near[0]}?")
    return found
