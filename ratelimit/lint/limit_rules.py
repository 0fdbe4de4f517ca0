"""Limits and flags that make no sense.

Two limits of one walk never apply to one descriptor, so a limit is not held against those above it.
"""

from collections.abc import Iterator, Sequence

from ratelimit.descriptors.limit import REQUESTS_PER_UNIT_MAX
from ratelimit.descriptors.specification import DescriptorSpecification, DomainSpecification, LimitSpecification, Place
from ratelimit.lint.finding import Finding, quoted

# So many of a unit are one of the next.
_LONGER = {"second": (60, "minute"), "minute": (60, "hour"), "hour": (24, "day"), "day": (7, "week")}


def limit_findings(specifications: Sequence[DomainSpecification]) -> Iterator[Finding]:
    """The findings of all files that load."""
    replaceable = {
        (domain.domain, each.rate_limit.name)
        for domain in specifications
        for each in _each(domain.descriptors)
        if each.rate_limit is not None and not each.rate_limit.unlimited
    }
    for domain in specifications:
        for descriptor in _each(domain.descriptors):
            yield from _descriptor(descriptor)
            if descriptor.rate_limit is not None:
                yield from _rate_limit(descriptor.rate_limit)
                yield from _replaces(domain.domain, descriptor.rate_limit, replaceable)


def _each(descriptors: Sequence[DescriptorSpecification]) -> Iterator[DescriptorSpecification]:
    for descriptor in descriptors:
        yield descriptor
        yield from _each(descriptor.descriptors)


def _descriptor(descriptor: DescriptorSpecification) -> Iterator[Finding]:
    if descriptor.rate_limit is None and not descriptor.descriptors:
        said = "neither a rate_limit nor descriptors: what it takes is not limited"
        cure = "add a rate_limit, `unlimited: true` if that is meant"
        yield Finding("no-limit", descriptor.place, said, cure)
    for name, why in _idle_flags(descriptor):
        yield Finding("no-effect", descriptor.place_of(name), f"{name} has no effect: {why}", "remove it")


def _idle_flags(descriptor: DescriptorSpecification) -> Iterator[tuple[str, str]]:
    """The flags that are set and do nothing, each with the reason."""
    limit = descriptor.rate_limit
    for name in ("shadow_mode", "quota_mode", "metadata", "detailed_metric"):
        if limit is None and getattr(descriptor, name):
            yield name, "there is no rate_limit beside it"
    if limit is not None and limit.unlimited:
        for name in ("shadow_mode", "quota_mode"):
            if getattr(descriptor, name):
                yield name, "an unlimited limit denies nothing"
        if descriptor.share_threshold and not descriptor.descriptors:
            yield "share_threshold", "an unlimited limit counts nothing"
    yield from _idle_metric_flags(descriptor)


def _idle_metric_flags(descriptor: DescriptorSpecification) -> Iterator[tuple[str, str]]:
    if descriptor.value_to_metric:
        if descriptor.detailed_metric:
            yield "value_to_metric", "detailed_metric wins over it"
        elif descriptor.value and "*" not in descriptor.value:
            yield "value_to_metric", "the value is part of the metric's name without it"
        elif descriptor.share_threshold:
            yield "value_to_metric", "share_threshold puts the pattern into the metric's name"


def _rate_limit(limit: LimitSpecification) -> Iterator[Finding]:
    given = "requests_per_unit" in limit.places
    place = limit.place_of("requests_per_unit")
    if limit.unlimited:
        if given:
            said = f"unlimited: requests_per_unit: {limit.requests_per_unit} says nothing"
            yield Finding("unlimited-with-requests", place, said, "keep one of the two")
        return
    if not given:
        said = "without requests_per_unit every request is denied"
        yield Finding("requests-missing", place, said, "add requests_per_unit, or write 0 if that is meant")
    elif limit.requests_per_unit == 0:
        said = "0 requests: every request is denied"
        yield Finding("zero-requests", place, said, "write `unlimited: true` if no limit is meant")
    elif limit.requests_per_unit == REQUESTS_PER_UNIT_MAX:
        said = f"{REQUESTS_PER_UNIT_MAX} requests are counted and never reached"
        yield Finding("largest-limit", place, said, "write `unlimited: true`, which is not counted")
    yield from _multiplier(limit)


def _multiplier(limit: LimitSpecification) -> Iterator[Finding]:
    unit, place = limit.unit.lower(), limit.place_of("unit_multiplier")
    units, longer = _LONGER.get(unit, (0, ""))
    if units and limit.unit_multiplier % units == 0:
        times = limit.unit_multiplier // units
        cure = f"write unit: {longer}" + (f", unit_multiplier: {times}" if times > 1 else "")
        said = f"{limit.unit_multiplier} times a {unit} is {times} times a {longer}"
        yield Finding("unit-multiplier", place, said, cure)


def _replaces(domain: str, limit: LimitSpecification, replaceable: set[tuple[str, str]]) -> Iterator[Finding]:
    for index, name in enumerate(limit.replaces):
        if (domain, name) not in replaceable:
            place: Place = limit.place_of(f"replaces[{index}]")
            said = f"no limit of the domain that can be replaced has the name {quoted(name)}"
            yield Finding("replaces-nothing", place, said, "give that limit this `name`, or remove the entry")
