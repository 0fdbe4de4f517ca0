"""What a rate limit configuration must be, whatever it was read from.

The rules of envoyproxy/ratelimit's loader, and bounds on what one descriptor may weigh. They see specifications only
and give the nodes of the tree one by one, a parent before its children, so that a configuration of any size can be
checked and handed on piece by piece.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ratelimit.descriptors.limit import ALGORITHM_NAMES, FIXED_WINDOW, Limit, Unit
from ratelimit.descriptors.quota_assignment import DEFAULT, QuotaAssignment, checked
from ratelimit.descriptors.specification import (
    DescriptorSpecification,
    DomainSpecification,
    LimitSpecification,
    OnStoreError,
    Place,
    shown,
)
from ratelimit.descriptors.tree import Node

# Metadata goes into every answer of its limit; the largest must stay a matter of microseconds.
METADATA_BYTES_MAX = 64 * 1024
REPLACES_MAX = 1_000
_UNITS = {unit.name.lower(): unit for unit in sorted(Unit, key=lambda unit: unit.seconds)}


class SpecificationRules:
    """Checks domains one after the other, and against those before."""

    def __init__(self, *, merge_domains: bool = False) -> None:
        self._merge_domains = merge_domains
        self._domains: dict[str, tuple[Place, bool]] = {}
        self._firsts: dict[str, dict[str, Place]] = {}
        self._on_store_error: dict[str, tuple[OnStoreError, Place]] = {}

    def nodes(self, specification: DomainSpecification) -> Iterator[tuple[int, Node]]:
        """The node of the domain at depth 0, and below it those of its descriptors. Raises ConfigError.

        The nodes are not yet linked. What was given before an error is of no use.
        """
        domain, place = specification.domain, specification.place
        if not domain:
            raise place.error("config file cannot have empty domain")
        if domain in self._domains and not self._merge_domains:
            first = self._domains[domain][0].file
            raise place.error(f"duplicate domain {shown(domain)} in config file, first in {first}")
        all_or_nothing = specification.all_or_nothing
        first_place, agreed = self._domains.setdefault(domain, (place, all_or_nothing))
        if agreed != all_or_nothing:
            raise place.error(f"all_or_nothing of domain {shown(domain)} is another than in {first_place.file}")
        root = Node(domain, file=place.file, line=place.line, key_path=place.key_path, all_or_nothing=all_or_nothing)
        root.on_store_error = self._choice(specification)
        yield 0, root
        # Merged files meet in the first level only: a descriptor that stands in two of them is refused there.
        siblings = self._firsts.setdefault(domain, {})
        for depth, node in _descriptors(specification.descriptors, (domain,), siblings):
            if all_or_nothing and node.limit is not None and node.limit.algorithm != FIXED_WINDOW:
                raise node.place.error(f"all_or_nothing is for fixed windows, not for {node.limit.algorithm}")
            yield depth, node

    def _choice(self, specification: DomainSpecification) -> OnStoreError:
        """`on_store_error` of the domain; files that are merged may not say two things, but need not all say it."""
        written = specification.on_store_error
        if written is None:
            return OnStoreError.ERROR
        place = specification.place_of("on_store_error")
        choice = next((each for each in OnStoreError if each.name.lower() == written), None)
        if choice is None:
            wanted = ", ".join(each.name.lower() for each in OnStoreError)
            raise place.error(f"invalid on_store_error {shown(written)}: one of {wanted} is wanted")
        first, first_place = self._on_store_error.setdefault(specification.domain, (choice, place))
        if first is not choice:
            before = f"{first_place.file}:{first_place.line}"
            raise place.error(f"on_store_error is {written} here and {first.name.lower()} in {before}")
        return choice


def _descriptors(
    specifications: Sequence[DescriptorSpecification], path: tuple[str, ...], siblings: dict[str, Place]
) -> Iterator[tuple[int, Node]]:
    for specification in specifications:
        node = _node(specification)
        if node.composite in siblings:
            raise specification.place.error(_duplicate(path, node, siblings[node.composite]))
        siblings[node.composite] = specification.place
        yield len(path), node
        if specification.descriptors:
            yield from _descriptors(specification.descriptors, (*path, node.composite), {})


def _duplicate(path: tuple[str, ...], node: Node, first: Place) -> str:
    where = f"line {first.line}" if first.file == node.place.file else f"{first.file}:{first.line}"
    return f"duplicate descriptor composite key {shown('.'.join((*path, node.composite)))}, first in {where}"


def _node(specification: DescriptorSpecification) -> Node:
    if not specification.key:
        raise specification.place_of("key").error("descriptor has empty key")
    _check_metadata(specification.place_of("metadata"), specification.metadata)
    node = Node(
        specification.key,
        _limit(specification),
        value=specification.value,
        detailed_metric=specification.detailed_metric,
        value_to_metric=specification.value_to_metric,
        share_threshold=specification.share_threshold,
        file=specification.place.file,
        line=specification.place.line,
        key_path=specification.place.key_path,
    )
    if node.share_threshold and "*" not in node.composite:
        raise specification.place_of("share_threshold").error(
            f"share_threshold can only be used with wildcard values (containing '*'), not with {shown(node.composite)}"
        )
    return node


def _check_metadata(place: Place, metadata: Mapping[str, Any]) -> None:
    if metadata and len(json.dumps(metadata)) > METADATA_BYTES_MAX:
        raise place.error(f"more than {METADATA_BYTES_MAX} bytes as JSON, and each answer would carry it")


def _limit(specification: DescriptorSpecification) -> Limit | None:
    rate_limit = specification.rate_limit
    if rate_limit is None:
        if specification.quota_assignment is not None:
            raise specification.quota_assignment.place.error("there is no rate_limit beside it that could be divided")
        return None
    unit = _unit(rate_limit)
    return Limit(
        rate_limit.requests_per_unit,
        unit,
        rate_limit.unlimited,
        rate_limit.name,
        _replaces(rate_limit),
        specification.shadow_mode,
        specification.quota_mode,
        specification.metadata,
        _unit_multiplier(rate_limit, unit),
        algorithm=_algorithm(rate_limit),
        quota_assignment=_quota_assignment(specification, rate_limit),
    )


def _unit(rate_limit: LimitSpecification) -> Unit:
    unit = _UNITS.get(rate_limit.unit.lower())
    if rate_limit.unlimited:
        if unit is not None:
            raise rate_limit.place_of("unit").error("should not specify rate limit unit when unlimited")
        return Unit.SECOND
    if unit is None:
        wanted = f"one of {', '.join(_UNITS)}"
        raise rate_limit.place_of("unit").error(f"invalid rate limit unit {shown(rate_limit.unit)}: {wanted} is wanted")
    return unit


def _unit_multiplier(rate_limit: LimitSpecification, unit: Unit) -> int:
    place = rate_limit.place_of("unit_multiplier")
    if rate_limit.unlimited and rate_limit.unit_multiplier != 1:
        raise place.error("should not specify unit_multiplier when unlimited")
    if not 1 <= rate_limit.unit_multiplier <= unit.multiplier_max:
        wanted = f"1 to {unit.multiplier_max} is wanted for a {unit.name.lower()}"
        raise place.error(f"invalid unit_multiplier {rate_limit.unit_multiplier}: {wanted}")
    return rate_limit.unit_multiplier


def _algorithm(rate_limit: LimitSpecification) -> str:
    name = rate_limit.algorithm or FIXED_WINDOW
    place = rate_limit.place_of("algorithm")
    if name not in ALGORITHM_NAMES:
        raise place.error(f"invalid algorithm {shown(name)}: one of {', '.join(ALGORITHM_NAMES)} is wanted")
    if rate_limit.unlimited and rate_limit.algorithm:
        raise place.error("should not specify an algorithm when unlimited")
    return name


def _quota_assignment(specification: DescriptorSpecification, rate_limit: LimitSpecification) -> QuotaAssignment:
    written = specification.quota_assignment
    if written is None:
        return DEFAULT
    if rate_limit.unlimited:
        raise written.place.error("should not specify quota_assignment when unlimited")
    return checked(written)


def _replaces(rate_limit: LimitSpecification) -> frozenset[str]:
    if len(rate_limit.replaces) > REPLACES_MAX:
        raise rate_limit.place_of("replaces").error(f"more than {REPLACES_MAX} entries")
    for index, name in enumerate(rate_limit.replaces):
        if not name:
            raise rate_limit.place_of(f"replaces[{index}]").error("should not have an empty replaces entry")
        if name == rate_limit.name:
            raise rate_limit.place_of(f"replaces[{index}]").error("replaces should not contain name of same descriptor")
    return frozenset(rate_limit.replaces)
