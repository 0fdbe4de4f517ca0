"""Protobuf in and out, and nowhere else: the messages of rls.proto from and to the values of the floors above."""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2
from google.protobuf.message import DecodeError

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.limiter.decision import Decision, DescriptorStatus
from ratelimit.limiter.plan import Charge, Plan
from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.settings import ResponseSettings

SERVICE_NAME = rls_pb2.DESCRIPTOR.services_by_name["RateLimitService"].full_name
SHOULD_RATE_LIMIT_PATH = f"/{SERVICE_NAME}/ShouldRateLimit"
_UNITS: dict[int, Unit] = {kind.wire: kind for kind in Unit}
_OK = rls_pb2.RateLimitResponse.OK
_OVER_LIMIT = rls_pb2.RateLimitResponse.OVER_LIMIT


def parse_request(message: bytes) -> Request:
    """Read a serialised RateLimitRequest. Raises RpcError for bytes that are none and for an override without unit."""
    request = parse_message(message)
    descriptors = tuple(_descriptor(index, descriptor) for index, descriptor in enumerate(request.descriptors))
    return Request(request.domain, descriptors, request.hits_addend)


def parse_message(message: bytes) -> rls_pb2.RateLimitRequest:
    """The protobuf message. Raises RpcError (INTERNAL) for bytes that are none, as a gRPC server's codec would."""
    try:
        return rls_pb2.RateLimitRequest.FromString(message)
    except DecodeError as error:
        raise RpcError(GrpcStatus.INTERNAL, f"not a RateLimitRequest: {error}") from None


def request_text(message: bytes) -> tuple[str, str]:
    """The domain of a serialised RateLimitRequest and its text on one line, for people. Never raises."""
    try:
        request = rls_pb2.RateLimitRequest.FromString(message)
    except DecodeError:
        return "", ""
    return request.domain, str(request).replace("\n", " ").strip()


def _descriptor(index: int, message: ratelimit_pb2.RateLimitDescriptor) -> Descriptor:
    entries = tuple((entry.key, entry.value) for entry in message.entries)
    limit = _override(index, message.limit) if message.HasField("limit") else None
    hits_addend = message.hits_addend.value if message.HasField("hits_addend") else None
    return Descriptor(entries, limit, hits_addend, message.is_negative_hits)


def _override(index: int, message: ratelimit_pb2.RateLimitDescriptor.RateLimitOverride) -> Limit:
    unit = _UNITS.get(message.unit)
    if unit is None or unit is Unit.WEEK:
        reason = f"descriptors[{index}].limit.unit: {message.unit} is not a unit (1 SECOND to 6 YEAR)"
        raise RpcError(GrpcStatus.INVALID_ARGUMENT, reason)
    multiplier = message.unit_multiplier.value if message.HasField("unit_multiplier") else 1
    if not 1 <= multiplier <= unit.multiplier_max:
        wanted = f"1 to {unit.multiplier_max} is wanted for a {unit.name}"
        reason = f"descriptors[{index}].limit.unit_multiplier: {multiplier}, {wanted}"
        raise RpcError(GrpcStatus.INVALID_ARGUMENT, reason)
    return Limit(message.requests_per_unit, unit, unit_multiplier=multiplier)


def look_bytes(request: Request) -> bytes:
    """A serialised request that asks the same and counts nothing."""
    message = rls_pb2.RateLimitRequest(domain=request.domain)
    for descriptor in request.descriptors:
        added = message.descriptors.add()
        added.hits_addend.value = 0
        for key, value in descriptor.entries:
            added.entries.add(key=key, value=value)
    return message.SerializeToString()


def told_of(message: bytes) -> list[tuple[int, int] | None]:
    """Of a serialised response, what is left and in how many seconds it resets, by descriptor; None without a limit."""
    return [
        (status.limit_remaining, status.duration_until_reset.seconds) if status.HasField("current_limit") else None
        for status in rls_pb2.RateLimitResponse.FromString(message).statuses
    ]


def response_bytes(
    plan: Plan, decision: Decision, *, over_limit: bool, settings: ResponseSettings, asked: bytes
) -> bytes:
    """Write a RateLimitResponse with `over_limit` as its overall code; `asked` is the request's message."""
    response = rls_pb2.RateLimitResponse(overall_code=_OVER_LIMIT if over_limit else _OK)
    for status in decision.statuses:
        _fill_status(response.statuses.add(), status)
    if settings.limit_response_headers_enabled and decision.tightest is not None:
        _add_headers(response, decision.statuses[decision.tightest], settings)
    if settings.response_dynamic_metadata:
        response.dynamic_metadata.CopyFrom(_dynamic_metadata(parse_message(asked), plan, decision))
    return response.SerializeToString()


def _fill_status(message: rls_pb2.RateLimitResponse.DescriptorStatus, status: DescriptorStatus) -> None:
    message.code = _OVER_LIMIT if status.over_limit else _OK
    message.limit_remaining = status.limit_remaining
    if status.limit is None:
        return
    message.current_limit.requests_per_unit = status.limit.requests_per_unit
    unit: Any = status.limit.unit.wire
    message.current_limit.unit = unit
    message.current_limit.name = status.limit.name
    if status.limit.unit_multiplier > 1:
        message.current_limit.unit_multiplier.value = status.limit.unit_multiplier
    message.duration_until_reset.seconds = status.duration_until_reset_s or 0


def _add_headers(response: rls_pb2.RateLimitResponse, status: DescriptorStatus, settings: ResponseSettings) -> None:
    limit = status.limit.requests_per_unit if status.limit else 0
    for key, value in (
        (settings.limit_limit_header, limit),
        (settings.limit_remaining_header, status.limit_remaining),
        (settings.limit_reset_header, status.duration_until_reset_s),
    ):
        response.response_headers_to_add.add(key=key, value=str(value))


def _dynamic_metadata(request: rls_pb2.RateLimitRequest, plan: Plan, decision: Decision) -> struct_pb2.Struct:
    """What RESPONSE_DYNAMIC_METADATA adds: the request as seen, and the metadata of the limits that passed."""
    described: dict[str, Any] = {
        "domain": request.domain,
        "descriptors": [_described(descriptor) for descriptor in request.descriptors],
    }
    if request.hits_addend:
        described["hitsAddend"] = request.hits_addend
    merged: dict[str, Any] = {}
    for index in decision.passed:
        step = plan.steps[index]
        if isinstance(step, Charge):
            _merge(merged, step.limit.metadata)
    if merged:
        described["metadata"] = merged
    struct = struct_pb2.Struct()
    struct.update(described)
    return struct


def _described(descriptor: ratelimit_pb2.RateLimitDescriptor) -> dict[str, Any]:
    result: dict[str, Any] = {"entries": [f"{entry.key}={entry.value}" for entry in descriptor.entries]}
    if descriptor.HasField("limit"):
        limit = descriptor.limit
        name = _UNITS[limit.unit].name
        parts = [f"requests_per_unit:{limit.requests_per_unit}"] if limit.requests_per_unit else []
        parts.append(f"unit:{name}")
        if limit.HasField("unit_multiplier"):
            parts.append(f"unit_multiplier:{{value:{limit.unit_multiplier.value}}}")
        result["limit"] = " ".join(parts)
    if descriptor.HasField("hits_addend"):
        result["hitsAddend"] = descriptor.hits_addend.value
    return result


def _merge(target: dict[str, Any], source: Mapping[str, Any]) -> None:
    """Fill in what `target` lacks, level by level; the first value wins and `source` is never shared."""
    for key, value in source.items():
        if isinstance(value, Mapping):
            held = target.setdefault(key, {})
            if isinstance(held, dict):
                _merge(held, value)
        else:
            target.setdefault(key, value)


def request_bytes_from_json(value: dict[str, Any]) -> bytes:
    """A RateLimitRequest in proto JSON, as `json.loads` gives it, serialised. Raises RpcError for anything else."""
    try:
        message = json_format.ParseDict(value, rls_pb2.RateLimitRequest(), max_recursion_depth=64)
    except (ValueError, RecursionError, json_format.ParseError) as error:
        raise RpcError(GrpcStatus.INVALID_ARGUMENT, f"not a RateLimitRequest in JSON: {error}") from None
    return message.SerializeToString()


def response_json(message: bytes) -> tuple[bool, bytes]:
    """Whether a serialised RateLimitResponse says OVER_LIMIT, and the response in proto JSON, as protojson has it."""
    response = rls_pb2.RateLimitResponse.FromString(message)
    # A Struct knows only doubles; whole ones are written without a fraction.
    value = json.loads(json_format.MessageToJson(response, indent=None), parse_float=_number)
    for status in value.get("statuses", ()):
        limit = status.get("currentLimit", {})
        if "name" in limit:  # it is declared first there, though its number is the last
            status["currentLimit"] = {"name": limit.pop("name"), **limit}
    # protojson has a space behind each comma or none, which one differs from build to build.
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ":"))
    return response.overall_code == _OVER_LIMIT, text.encode()


def _number(text: str) -> float:
    return int(float(text)) if text.endswith(".0") else float(text)
