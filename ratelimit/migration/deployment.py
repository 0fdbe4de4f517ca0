"""The environment of a deployment, from a file: NAME=value lines, or Kubernetes objects in YAML.

Of several containers the one counts that has most of our variables. What stands elsewhere (a Secret, a field of the
pod, a ConfigMap that is not in the file) cannot be read: such variables are named.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ratelimit.errors import ConfigError
from ratelimit.settings import variables

FILE_BYTES_MAX = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Deployment:
    """Variables by name, and the names of those whose values are kept elsewhere."""

    environ: Mapping[str, str]
    elsewhere: tuple[str, ...] = ()


@dataclass(slots=True)
class _Found:
    environ: dict[str, str] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)


def read_deployment(path: Path) -> Deployment:
    """Read a file. Raises ConfigError."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigError(f"larger than {FILE_BYTES_MAX} bytes", file=str(path))
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=str(path)) from None
    if path.suffix in {".yaml", ".yml", ".json"}:
        return _from_objects(text, path)
    return Deployment(dict(_from_lines(text, path)))


def _from_lines(text: str, path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        given = line.strip().removeprefix("export ")
        if not given or given.startswith("#"):
            continue
        name, equals, value = given.partition("=")
        if not equals:
            raise ConfigError("NAME=value is wanted", file=str(path), line=number)
        quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
        yield name.strip(), value[1:-1] if quoted else value


def _from_objects(text: str, path: Path) -> Deployment:
    try:
        objects = list(_each(list(yaml.safe_load_all(text))))
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"no YAML: {error}", file=str(path)) from None
    maps = {_name(each): _mapping(each, "data") for each in objects if each.get("kind") == "ConfigMap"}
    found = [_of_container(container, maps) for each in objects for container in _containers(each)]
    if not found:
        raise ConfigError("no container stands in it", file=str(path))
    best = max(found, key=lambda one: len(variables().keys() & {*one.environ, *one.elsewhere}))
    return Deployment(best.environ, tuple(best.elsewhere))


def _each(documents: list[Any]) -> Iterator[dict[str, Any]]:
    """The objects of a file; a List has them in `items`."""
    for document in documents:
        if isinstance(document, dict):
            yield document
            yield from _each(_sequence(document, "items"))


def _containers(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The containers of a pod, wherever its template stands (a Deployment, a CronJob)."""
    for name, inner in value.items():
        if name == "containers" and isinstance(inner, list):
            yield from (container for container in inner if isinstance(container, dict))
        elif isinstance(inner, dict) and name in {"spec", "template", "jobTemplate"}:
            yield from _containers(inner)


def _of_container(container: dict[str, Any], maps: Mapping[str, dict[str, Any]]) -> _Found:
    found = _Found()
    for source in _sequence(container, "envFrom"):
        name = _name(source, "configMapRef", "name")
        if name in maps:
            prefix = str(source.get("prefix") or "")
            found.environ |= {f"{prefix}{key}": str(value) for key, value in maps[name].items()}
        else:
            found.elsewhere.append(f"those of {name or _name(source, 'secretRef', 'name')}")
    for variable in _sequence(container, "env"):
        name = str(variable.get("name"))
        kept = _mapping(_mapping(variable, "valueFrom"), "configMapKeyRef")
        data = maps.get(str(kept.get("name")), {})
        if "valueFrom" not in variable:
            found.environ[name] = _text(variable.get("value"))
        elif kept.get("key") in data:
            found.environ[name] = _text(data[str(kept["key"])])
        else:
            found.elsewhere.append(name)
    return found


def _text(value: Any) -> str:
    # Kubernetes wants texts; Helm's output and people's notes also have bare numbers and booleans.
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _name(value: dict[str, Any], section: str = "metadata", key: str = "name") -> str:
    return str(_mapping(value, section).get(key) or "")


def _mapping(value: dict[str, Any], key: str) -> dict[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _sequence(value: dict[str, Any], key: str) -> list[dict[str, Any]]:
    inner = value.get(key)
    return [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []
