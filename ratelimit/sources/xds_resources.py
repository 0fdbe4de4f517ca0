"""What a control plane sends, RateLimitConfig resources (ratelimit.config.ratelimit.v3), as specifications.

Only what this format can get wrong is judged here: a resource of another type, bytes that are no message. A resource
has no lines, so the place of a thing is its name and the key path, as a file of the same content would have it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from ratelimit.descriptors.specification import (
    DescriptorSpecification,
    DomainSpecification,
    LimitSpecification,
    Place,
    shown,
)
from ratelimit.pb.ratelimit.config.ratelimit.v3 import rls_conf_pb2

TYPE_URL = "type.googleapis.com/ratelimit.config.ratelimit.v3.RateLimitConfig"


def specifications(resources: Iterable[AnyMessage]) -> Iterator[DomainSpecification]:
    """One for each resource, in their order. Raises ConfigError for what is none."""
    for number, resource in enumerate(resources):
        place = Place(f"resource {number}")
        if resource.type_url != TYPE_URL:
            raise place.error(f"a resource of type {shown(resource.type_url)}: {TYPE_URL} is wanted")
        try:
            config = rls_conf_pb2.RateLimitConfig.FromString(resource.value)
        except DecodeError:
            raise place.error("not a RateLimitConfig, or nested too deeply") from None
        name = config.name or config.domain or place.file
        yield DomainSpecification(Place(name, key_path="domain"), config.domain, _descriptors(config.descriptors, name))


def digest_of(resources: Iterable[AnyMessage]) -> str:
    """What stands for all of them: their types and bytes, in their order."""
    found = hashlib.blake2b(digest_size=16)
    for resource in resources:
        found.update(f"{len(resource.type_url)}:{len(resource.value)}:{resource.type_url}".encode())
        found.update(resource.value)
    return found.hexdigest()


def _descriptors(
    messages: Sequence[rls_conf_pb2.RateLimitDescriptor], name: str, path: str = ""
) -> Sequence[DescriptorSpecification]:
    return [_descriptor(message, name, f"{path}descriptors[{number}]") for number, message in enumerate(messages)]


def _descriptor(message: rls_conf_pb2.RateLimitDescriptor, name: str, path: str) -> DescriptorSpecification:
    return DescriptorSpecification(
        Place(name, key_path=path),
        message.key,
        message.value,
        _limit(message.rate_limit, name, f"{path}.rate_limit") if message.HasField("rate_limit") else None,
        shadow_mode=message.shadow_mode,
        quota_mode=message.quota_mode,
        detailed_metric=message.detailed_metric,
        metadata=json_format.MessageToDict(message.metadata),
        descriptors=_descriptors(message.descriptors, name, f"{path}."),
        places={field: Place(name, key_path=f"{path}.{field}") for field in ("key", "metadata")},
    )


def _limit(message: rls_conf_pb2.RateLimitPolicy, name: str, path: str) -> LimitSpecification:
    fields = ["unit", "replaces", *(f"replaces[{number}]" for number in range(len(message.replaces)))]
    return LimitSpecification(
        Place(name, key_path=path),
        _unit(message.unit),
        message.requests_per_unit,
        message.unlimited,
        message.name,
        replaces=[each.name for each in message.replaces],
        places={field: Place(name, key_path=f"{path}.{field}") for field in fields},
    )


def _unit(number: int) -> str:
    """Its name; a number that has none as it is."""
    units = rls_conf_pb2.RateLimitUnit
    return units.Name(number) if number in units.values() else str(number)
