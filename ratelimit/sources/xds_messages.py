"""The messages of xDS: requests to a control plane, its responses, and the RateLimitConfig resources in them.

Protobuf stays here. Resources become specifications, and only what this format can get wrong is judged: a resource of
another type, bytes that are no message. A resource has no lines, so the place of a thing is its name and the key path,
as a file of the same content would have it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

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
from ratelimit.errors import GrpcStatus
from ratelimit.pb.envoy.service.discovery.v3 import discovery_pb2
from ratelimit.pb.ratelimit.config.ratelimit.v3 import rls_conf_pb2

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"
TYPE_URL = "type.googleapis.com/ratelimit.config.ratelimit.v3.RateLimitConfig"
# A wrong configuration is told in one message, which has a bound of its own.
ERROR_CHARACTERS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Node:
    """Who asks: what the control plane chooses the configuration by."""

    id: str
    metadata: Mapping[str, str]

    def request(self, version: str, nonce: str = "", refused: str = "") -> bytes:
        """A DiscoveryRequest: `version` is what is in force, `nonce` that of the response which it answers.

        `refused` says why that response was not taken; empty where it was.
        """
        request = discovery_pb2.DiscoveryRequest(version_info=version, type_url=TYPE_URL, response_nonce=nonce)
        request.node.id = self.id
        request.node.metadata.update(self.metadata)
        if refused:
            request.error_detail.code = GrpcStatus.INVALID_ARGUMENT
            request.error_detail.message = refused[:ERROR_CHARACTERS_MAX]
        return request.SerializeToString()


@dataclass(frozen=True, slots=True)
class Response:
    """A DiscoveryResponse. `message` is the whole, as it came."""

    message: bytes
    version: str
    nonce: str
    type_url: str
    resources: Sequence[AnyMessage]


def read_response(message: bytes) -> Response:
    """A DiscoveryResponse from its bytes. Raises ValueError."""
    try:
        found = discovery_pb2.DiscoveryResponse.FromString(message)
    except DecodeError:
        raise ValueError("no DiscoveryResponse") from None
    return Response(message, found.version_info, found.nonce, found.type_url, found.resources)


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
