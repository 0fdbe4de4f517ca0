"""What a configuration says, before any rule is applied: plain values, and the place of each for messages.

A reader (YAML files; a control plane's protobuf is another) makes specifications and judges only what its own format
can get wrong: types, unknown keys. What a rate limit configuration must be stands in `rules`, once for all readers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ratelimit.errors import ConfigError

REASON_CHARACTERS_MAX = 400
KEY_PATH_CHARACTERS_MAX = 300
# What `quota_assignment` says unless it is written.
MINIMUM_SHARE = 0.02


class OnStoreError(Enum):
    """What a call of a domain is answered when the store cannot count: UNAVAILABLE, OK, or OVER_LIMIT."""

    ERROR = 0
    ALLOW = 1
    DENY = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written: `line` counts from 1, `key_path` is like ``descriptors[1].rate_limit.unit``."""

    file: str = ""
    line: int | None = None
    key_path: str = ""

    def error(self, reason: str) -> ConfigError:
        """The error that names this place; whatever a file holds, its text stays short enough for a log line."""
        key_path = shortened(self.key_path, KEY_PATH_CHARACTERS_MAX)
        return ConfigError(shortened(reason, REASON_CHARACTERS_MAX), file=self.file, line=self.line, key_path=key_path)


@dataclass(slots=True)
class LimitSpecification:
    """One `rate_limit`. `replaces` are names as written; `places`: of its fields, and of each ``replaces[0]``."""

    place: Place
    unit: str = ""
    requests_per_unit: int = 0
    unlimited: bool = False
    name: str = ""
    unit_multiplier: int = 1
    algorithm: str = ""
    replaces: Sequence[str] = ()
    places: Mapping[str, Place] = field(default_factory=dict)

    def place_of(self, name: str) -> Place:
        """The place of a field; the limit's own where the field is not given."""
        return self.places.get(name, self.place)


@dataclass(slots=True)
class QuotaSpecification:
    """One `quota_assignment`; `places`: of its fields, and of each ``weights.class``."""

    place: Place
    minimum_share: float = MINIMUM_SHARE
    expected_envoys: int = 0
    exact: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)
    places: Mapping[str, Place] = field(default_factory=dict)

    def place_of(self, name: str) -> Place:
        """The place of a field; that of the whole where the field is not given."""
        return self.places.get(name, self.place)


@dataclass(slots=True)
class DescriptorSpecification:
    """One element of `descriptors`; `descriptors` are those below it, in the order written."""

    place: Place
    key: str = ""
    value: str = ""
    rate_limit: LimitSpecification | None = None
    shadow_mode: bool = False
    quota_mode: bool = False
    detailed_metric: bool = False
    value_to_metric: bool = False
    share_threshold: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    descriptors: Sequence["DescriptorSpecification"] = ()
    quota_assignment: QuotaSpecification | None = None
    places: Mapping[str, Place] = field(default_factory=dict)

    def place_of(self, name: str) -> Place:
        """The place of a field; the descriptor's own where the field is not given."""
        return self.places.get(name, self.place)


@dataclass(slots=True)
class DomainSpecification:
    """One file or resource. `place` is that of its `domain`, or of the whole where there is none.

    `all_or_nothing`: a request that would go over one of its limits is charged to none.
    `on_store_error` is as written, None where it is not given; `places` are those of its fields.
    """

    place: Place
    domain: str
    descriptors: Sequence[DescriptorSpecification] = ()
    all_or_nothing: bool = False
    on_store_error: str | None = None
    places: Mapping[str, Place] = field(default_factory=dict)

    def place_of(self, name: str) -> Place:
        """The place of a field; the domain's own where the field is not given."""
        return self.places.get(name, self.place)


def shortened(text: str, characters_max: int) -> str:
    """`text` itself, or its beginning and its end around an ellipsis."""
    if len(text) <= characters_max:
        return text
    half = (characters_max - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def shown(text: str, characters_max: int = 80) -> str:
    """`text` quoted for a message: on one line, printable, not too long."""
    return repr(shortened(text, characters_max))
