"""From configuration files to a `Config`: the schema of envoyproxy/ratelimit's YAML, checked key by key."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.tree import Config, Node
from ratelimit.descriptors.yaml_nodes import Document, LoadLimits, Value, compose
from ratelimit.errors import ConfigError

REQUESTS_PER_UNIT_MAX = 2**32 - 1
_ROOT_KEYS = ("domain", "descriptors")
_DESCRIPTOR_KEYS = (
    "key",
    "value",
    "rate_limit",
    "descriptors",
    "shadow_mode",
    "quota_mode",
    "detailed_metric",
    "value_to_metric",
    "share_threshold",
    "metadata",
)
_RATE_LIMIT_KEYS = ("unit", "requests_per_unit", "unlimited", "name", "replaces")
_REPLACES_KEYS = ("name",)
_KNOWN_KEYS = frozenset((*_ROOT_KEYS, *_DESCRIPTOR_KEYS, *_RATE_LIMIT_KEYS))
_UNITS = {unit.name.lower(): unit for unit in sorted(Unit, key=lambda unit: unit.seconds)}


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file as read: its name for messages, relative to the configuration directory, and its bytes."""

    name: str
    text: bytes


@dataclass(slots=True)
class _Loading:
    merge_domains: bool
    domains: dict[str, Node] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def load_config(
    files: Sequence[ConfigFile],
    *,
    strict: bool = True,
    merge_domains: bool = False,
    limits: LoadLimits | None = None,
) -> Config:
    """Load all files or none. `strict` False is the reference's leniency, with warnings. Raises ConfigError."""
    loading = _Loading(merge_domains)
    warnings: list[str] = []
    for file in files:
        document = Document(file.name, limits or LoadLimits(), strict)
        _load_file(loading, document, file.text)
        warnings += document.warnings
    return Config(loading.domains, tuple(warnings))


def _load_file(loading: _Loading, document: Document, text: bytes) -> None:
    root = compose(document, text)
    if root is None:
        raise ConfigError("the file is empty: it needs a domain", file=document.name)
    fields = _fields(root, _ROOT_KEYS)
    domain = fields["domain"].text() if "domain" in fields else ""
    if not domain:
        raise document.error(fields.get("domain", root), "config file cannot have empty domain")
    if domain in loading.domains and not loading.merge_domains:
        raise document.error(
            fields["domain"], f"duplicate domain {domain!r} in config file, first in {loading.places[domain]}"
        )
    loading.places.setdefault(domain, document.name)
    node = loading.domains.setdefault(domain, Node(domain))
    if "descriptors" in fields:
        _load_descriptors(node, fields["descriptors"], domain)


def _load_descriptors(parent: Node, value: Value, parent_name: str) -> None:
    lines: dict[str, int] = {}
    for element in value.elements():
        child = _descriptor(element)
        name = f"{parent_name}.{child.composite}"
        if child.composite in parent.children:
            first = f", first in line {lines[child.composite]}" if child.composite in lines else ""
            raise element.document.error(element, f"duplicate descriptor composite key {name!r}{first}")
        lines[child.composite] = element.line
        parent.add(child)
        fields = dict(element.items())
        if "descriptors" in fields:
            _load_descriptors(child, fields["descriptors"], name)


def _descriptor(value: Value) -> Node:
    document, fields = value.document, _fields(value, _DESCRIPTOR_KEYS)
    key = fields["key"].text() if "key" in fields else ""
    if not key:
        raise document.error(fields.get("key", value), "descriptor has empty key")
    text = fields["value"].text() if "value" in fields else ""
    node = Node(f"{key}_{text}" if text else key)
    node.detailed_metric = _flag(fields, "detailed_metric")
    node.value_to_metric = _flag(fields, "value_to_metric")
    node.share_threshold = _flag(fields, "share_threshold")
    if node.share_threshold and "*" not in node.composite:
        raise document.error(
            fields["share_threshold"],
            f"share_threshold can only be used with wildcard values (containing '*'), not with {node.composite!r}",
        )
    metadata = _metadata(fields)
    shadow_mode, quota_mode = _flag(fields, "shadow_mode"), _flag(fields, "quota_mode")
    if "rate_limit" in fields and not fields["rate_limit"].is_null:
        limit = _limit(fields["rate_limit"])
        node.limit = Limit(
            limit.requests_per_unit,
            limit.unit,
            limit.unlimited,
            limit.name,
            limit.replaces,
            shadow_mode,
            quota_mode,
            metadata,
        )
    return node


def _limit(value: Value) -> Limit:
    document, fields = value.document, _fields(value, _RATE_LIMIT_KEYS)
    unlimited = _flag(fields, "unlimited")
    unit_text = fields["unit"].text() if "unit" in fields else ""
    unit = _UNITS.get(unit_text.lower())
    if unlimited and unit is not None:
        raise document.error(fields["unit"], "should not specify rate limit unit when unlimited")
    if unit is None and not unlimited:
        wanted = f"one of {', '.join(_UNITS)}"
        raise document.error(fields.get("unit", value), f"invalid rate limit unit {unit_text!r}: {wanted} is wanted")
    requests = fields["requests_per_unit"].integer(REQUESTS_PER_UNIT_MAX) if "requests_per_unit" in fields else 0
    name = fields["name"].text() if "name" in fields else ""
    replaces = _replaces(fields["replaces"], name) if "replaces" in fields else frozenset[str]()
    return Limit(requests, unit or Unit.SECOND, unlimited, name, replaces)


def _replaces(value: Value, own_name: str) -> frozenset[str]:
    names = set()
    for element in value.elements():
        fields = _fields(element, _REPLACES_KEYS)
        name = fields["name"].text() if "name" in fields else ""
        if not name:
            raise value.document.error(element, "should not have an empty replaces entry")
        if name == own_name:
            raise value.document.error(element, "replaces should not contain name of same descriptor")
        names.add(name)
    return frozenset(names)


def _metadata(fields: Mapping[str, Value]) -> Mapping[str, object]:
    if "metadata" not in fields or fields["metadata"].is_null:
        return {}
    return {key: value.json() for key, value in fields["metadata"].items()}


def _flag(fields: Mapping[str, Value], name: str) -> bool:
    return name in fields and not fields[name].is_null and fields[name].boolean()


def _fields(value: Value, keys: Iterable[str]) -> dict[str, Value]:
    """The fields of a mapping that may stand here; unknown and misplaced keys are told apart."""
    allowed = tuple(keys)
    fields = dict(value.items())
    for name, field_value in list(fields.items()):
        if name in allowed:
            continue
        if name not in _KNOWN_KEYS:
            near = difflib.get_close_matches(name, allowed, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise value.document.error(field_value, f"config error, unknown key {name!r}{hint}")
        value.document.mistake(field_value, f"the key {name!r} has no effect here; known here: {', '.join(allowed)}")
        del fields[name]
    return fields
