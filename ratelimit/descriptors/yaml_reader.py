"""From a YAML file to a specification: the schema of envoyproxy/ratelimit's files, checked key by key."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ratelimit.descriptors.limit import REQUESTS_PER_UNIT_MAX, WINDOW_S_MAX
from ratelimit.descriptors.specification import (
    MINIMUM_SHARE,
    DescriptorSpecification,
    DomainSpecification,
    LimitSpecification,
    Place,
    QuotaSpecification,
    shown,
)
from ratelimit.descriptors.yaml_nodes import Document, Value, read_root

_ROOT_KEYS = ("domain", "descriptors", "all_or_nothing", "on_store_error")
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
    "quota_assignment",
)
_RATE_LIMIT_KEYS = ("unit", "requests_per_unit", "unit_multiplier", "algorithm", "unlimited", "name", "replaces")
_REPLACES_KEYS = ("name",)
_QUOTA_KEYS = ("minimum_share", "expected_envoys", "exact", "weights")
_KNOWN_KEYS = frozenset((*_ROOT_KEYS, *_DESCRIPTOR_KEYS, *_RATE_LIMIT_KEYS, *_QUOTA_KEYS))
ENVOYS_MAX = 10_000
_GUESSED_NAME_CHARACTERS_MAX = 60


@dataclass(frozen=True, slots=True)
class YamlFile:
    """One file as it was read: the value at its root, and what it says."""

    root: Value
    specification: DomainSpecification

    @property
    def warnings(self) -> Sequence[str]:
        """What the lenient mode let pass."""
        return self.root.document.warnings


def read_yaml(document: Document, text: bytes) -> YamlFile:
    """Read one file. Raises ConfigError."""
    root = read_root(document, text)
    if root is None:
        raise Place(document.name).error("the file is empty: it needs a domain")
    return YamlFile(root, _domain(root))


def _domain(root: Value) -> DomainSpecification:
    fields = _fields(root, _ROOT_KEYS)
    place = fields["domain"].place if "domain" in fields else root.place
    return DomainSpecification(
        place,
        _text(fields, "domain"),
        list(_descriptors(fields)),
        all_or_nothing=_flag(fields, "all_or_nothing"),
        on_store_error=_text(fields, "on_store_error") if "on_store_error" in fields else None,
        places=_places(fields),
    )


def _descriptors(fields: Mapping[str, Value]) -> Iterator[DescriptorSpecification]:
    if "descriptors" in fields:
        yield from (_descriptor(element) for element in fields["descriptors"].elements())


def _descriptor(value: Value) -> DescriptorSpecification:
    fields = _fields(value, _DESCRIPTOR_KEYS)
    return DescriptorSpecification(
        value.place,
        _text(fields, "key"),
        _text(fields, "value"),
        _rate_limit(fields),
        shadow_mode=_flag(fields, "shadow_mode"),
        quota_mode=_flag(fields, "quota_mode"),
        detailed_metric=_flag(fields, "detailed_metric"),
        value_to_metric=_flag(fields, "value_to_metric"),
        share_threshold=_flag(fields, "share_threshold"),
        metadata=_metadata(fields),
        descriptors=list(_descriptors(fields)),
        quota_assignment=_quota_assignment(fields),
        places=_places(fields),
    )


def _quota_assignment(fields: Mapping[str, Value]) -> QuotaSpecification | None:
    value = fields.get("quota_assignment")
    if value is None or value.is_null:
        return None
    fields = _fields(value, _QUOTA_KEYS)
    places = _places(fields)
    weights: dict[str, float] = {}
    for name, weight in fields["weights"].items() if "weights" in fields else ():
        weights[name] = weight.number()
        places[f"weights.{name}"] = weight.place
    return QuotaSpecification(
        value.place,
        fields["minimum_share"].number() if "minimum_share" in fields else MINIMUM_SHARE,
        fields["expected_envoys"].integer(ENVOYS_MAX) if "expected_envoys" in fields else 0,
        exact=_flag(fields, "exact"),
        weights=weights,
        places=places,
    )


def _rate_limit(fields: Mapping[str, Value]) -> LimitSpecification | None:
    value = fields.get("rate_limit")
    if value is None or value.is_null:
        return None
    fields = _fields(value, _RATE_LIMIT_KEYS)
    requests = fields["requests_per_unit"].integer(REQUESTS_PER_UNIT_MAX) if "requests_per_unit" in fields else 0
    multiplier = fields["unit_multiplier"].integer(WINDOW_S_MAX) if "unit_multiplier" in fields else 1
    places = _places(fields)
    replaces = []
    for index, element in enumerate(fields["replaces"].elements() if "replaces" in fields else ()):
        replaces.append(_text(_fields(element, _REPLACES_KEYS), "name"))
        places[f"replaces[{index}]"] = element.place
    return LimitSpecification(
        value.place,
        _text(fields, "unit"),
        requests,
        unlimited=_flag(fields, "unlimited"),
        name=_text(fields, "name"),
        unit_multiplier=multiplier,
        algorithm=_text(fields, "algorithm"),
        replaces=replaces,
        places=places,
    )


def _metadata(fields: Mapping[str, Value]) -> Mapping[str, object]:
    if "metadata" not in fields or fields["metadata"].is_null:
        return {}
    return {key: value.json() for key, value in fields["metadata"].items()}


def _text(fields: Mapping[str, Value], name: str) -> str:
    return fields[name].text() if name in fields else ""


def _flag(fields: Mapping[str, Value], name: str) -> bool:
    return name in fields and not fields[name].is_null and fields[name].boolean()


def _places(fields: Mapping[str, Value]) -> dict[str, Place]:
    return {name: value.place for name, value in fields.items()}


def _fields(value: Value, allowed: tuple[str, ...]) -> dict[str, Value]:
    """The fields of a mapping that may stand here; unknown and misplaced keys are told apart."""
    fields = dict(value.items())
    for name, field_value in list(fields.items()):
        if name in allowed:
            continue
        if name not in _KNOWN_KEYS:
            # Comparing texts costs the product of their lengths; what is that long is no misspelt key.
            near = difflib.get_close_matches(name[:_GUESSED_NAME_CHARACTERS_MAX], allowed, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise field_value.error(f"config error, unknown key {shown(name)}{hint}")
        reason = f"the key {name!r} has no effect here; known here: {', '.join(allowed)}"
        value.document.mistake(field_value.place, reason)
        del fields[name]
    return fields
