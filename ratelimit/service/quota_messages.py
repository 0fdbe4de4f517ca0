"""Protobuf of rlqs.proto in and out: reports from the bytes of a message, assignments to the bytes of a response.

A bucket id is kept as its canonical bytes, entries in the order of their keys: they name the bucket in every table, and
are sent back as they are. An assignment is the same bytes for many buckets, so it is made once and kept.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from google.protobuf.message import DecodeError

from ratelimit.descriptors.bucket_id import ENTRIES_MAX
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from ratelimit.pb.envoy.type.v3 import ratelimit_strategy_pb2
from ratelimit.quota.assignment import Abandon, Assign
from ratelimit.service.status_bytes import varint
from ratelimit.service.wire import has_at_most

QUOTA_SERVICE_NAME = rlqs_pb2.DESCRIPTOR.services_by_name["RateLimitQuotaService"].full_name
QUOTA_METHOD = "StreamRateLimitQuotas"
MESSAGE_BYTES_MAX = 1024 * 1024
KEY_BYTES_MAX, VALUE_BYTES_MAX, DOMAIN_BYTES_MAX = 256, 4096, 256
# What no Envoy counts in 5 s, and how long none is silent: a day. The ledger has bounds of its own.
COUNT_MAX = 10**12
ELAPSED_S_MAX = 24 * 3600
ASSIGNMENTS_KEPT = 10_000
UINT32_MAX = 2**32 - 1

_STRATEGY = ratelimit_strategy_pb2.RateLimitStrategy
_ACTION = rlqs_pb2.RateLimitQuotaResponse.BucketAction
_BUCKET, _ASSIGNMENT, _ABANDON, _ACTIONS = b"\x0a", b"\x12", b"\x1a\x00", b"\x0a"
_FIELD_BYTES_MIN = 2
_SIZES = [bytes((size,)) for size in range(128)]
_assignments: dict[tuple[int, int, int], bytes] = {}


class Blanket(Enum):
    """What a bucket that is not divided is answered."""

    ALLOW = "allow"
    DENY = "deny"
    ABANDON = "abandon"


@dataclass(slots=True)
class Usage:
    """What an Envoy reports of one bucket. `absurd`: a number that no Envoy can mean; it is bounded here."""

    bucket: bytes
    allowed: int
    denied: int
    elapsed_s: float
    absurd: bool


@dataclass(slots=True)
class Reports:
    """One message. `domain` may be empty; `broken` usages have no bucket id that could be one, and are left out."""

    domain: str
    usages: list[Usage]
    broken: int


def read_reports(message: bytes, usages_max: int, known: Container[bytes] = ()) -> Reports:
    """Read a serialised RateLimitQuotaUsageReports. Raises RpcError: what it holds is counted before it is built.

    Bucket ids in `known` were found sound before.
    """
    if len(message) > MESSAGE_BYTES_MAX:
        raise _invalid(f"the report has {len(message)} bytes, at most {MESSAGE_BYTES_MAX} are allowed")
    if len(message) > _FIELD_BYTES_MIN * usages_max:
        _count(message, usages_max)
    try:
        reports = rlqs_pb2.RateLimitQuotaUsageReports.FromString(message)
    except DecodeError:
        raise _garbled() from None
    if len(reports.bucket_quota_usages) > usages_max:
        raise _too_many(usages_max)
    if len(reports.domain.encode()) > DOMAIN_BYTES_MAX:
        raise _invalid(f"the domain has more than {DOMAIN_BYTES_MAX} bytes")
    usages = []
    for usage in reports.bucket_quota_usages:
        bucket_id = usage.bucket_id
        bucket = bucket_id.SerializeToString(deterministic=True)
        if bucket in known or _is_sound(bucket_id.bucket):
            usages.append(_usage(bucket, usage))
    return Reports(reports.domain, usages, len(reports.bucket_quota_usages) - len(usages))


def entries_of(bucket: bytes) -> dict[str, str]:
    """The entries of a bucket id."""
    return dict(rlqs_pb2.BucketId.FromString(bucket).bucket)


def bucket_of(entries: dict[str, str]) -> bytes:
    """The canonical bytes of a bucket id."""
    return rlqs_pb2.BucketId(bucket=entries).SerializeToString(deterministic=True)


def assigned(bucket: bytes, action: Assign | Abandon) -> bytes:
    """What a bucket is told by its ledger, as a part of a response."""
    if isinstance(action, Abandon):
        return _part(bucket, _ABANDON)
    if action.denies:
        return blanket(bucket, Blanket.DENY, action.ttl_s)
    key = (action.max_tokens, action.tokens_per_fill, action.ttl_s)
    made = _assignments.get(key)
    if made is None:
        strategy = _STRATEGY()
        # A limit may be more than the fields can say: then so much it is.
        strategy.token_bucket.max_tokens = min(action.max_tokens, UINT32_MAX)
        strategy.token_bucket.tokens_per_fill.value = min(action.tokens_per_fill, UINT32_MAX)
        strategy.token_bucket.fill_interval.seconds = action.fill_interval_s
        made = _kept(key, _assignment(strategy, action.ttl_s))
    return _part(bucket, made)


def blanket(bucket: bytes, rule: Blanket, ttl_s: int) -> bytes:
    """The same for a bucket without a ledger."""
    if rule is Blanket.ABANDON:
        return _part(bucket, _ABANDON)
    number = _STRATEGY.ALLOW_ALL if rule is Blanket.ALLOW else _STRATEGY.DENY_ALL
    key = (-1, number, ttl_s)
    made = _assignments.get(key)
    if made is None:
        made = _kept(key, _assignment(_STRATEGY(blanket_rule=number), ttl_s))
    return _part(bucket, made)


def response(parts: Iterable[bytes]) -> bytes:
    """A serialised RateLimitQuotaResponse of what buckets are told."""
    return b"".join(_ACTIONS + _size(part) + part for part in parts)


def _usage(bucket: bytes, usage: rlqs_pb2.RateLimitQuotaUsageReports.BucketQuotaUsage) -> Usage:
    allowed, denied, elapsed = usage.num_requests_allowed, usage.num_requests_denied, usage.time_elapsed
    elapsed_s = elapsed.seconds + elapsed.nanos / 1e9
    absurd = not 0 <= elapsed_s <= ELAPSED_S_MAX or allowed > COUNT_MAX or denied > COUNT_MAX
    if absurd:
        allowed, denied = min(allowed, COUNT_MAX), min(denied, COUNT_MAX)
        elapsed_s = min(max(elapsed_s, 0.0), float(ELAPSED_S_MAX))
    return Usage(bucket, allowed, denied, elapsed_s, absurd)


def _is_sound(bucket_id: Mapping[str, str]) -> bool:
    if not 0 < len(bucket_id) <= ENTRIES_MAX:
        return False
    return all(
        len(key.encode()) <= KEY_BYTES_MAX and len(value.encode()) <= VALUE_BYTES_MAX
        for key, value in bucket_id.items()
    )


def _count(message: bytes, usages_max: int) -> None:
    """Raises RpcError for more fields than a report of so many usages has."""
    try:
        if not has_at_most(message, usages_max + 1):
            raise _too_many(usages_max)
    except (IndexError, KeyError):
        raise _garbled() from None


def _assignment(strategy: ratelimit_strategy_pb2.RateLimitStrategy, ttl_s: int) -> bytes:
    action = _ACTION.QuotaAssignmentAction(rate_limit_strategy=strategy)
    action.assignment_time_to_live.seconds = ttl_s
    made = action.SerializeToString()
    return _ASSIGNMENT + _size(made) + made


def _kept(key: tuple[int, int, int], made: bytes) -> bytes:
    if len(_assignments) >= ASSIGNMENTS_KEPT:
        _assignments.clear()
    _assignments[key] = made
    return made


def _part(bucket: bytes, told: bytes) -> bytes:
    return _BUCKET + _size(bucket) + bucket + told


def _size(part: bytes) -> bytes:
    number = len(part)
    return _SIZES[number] if number < 128 else varint(number)


def _too_many(usages_max: int) -> RpcError:
    return RpcError(GrpcStatus.RESOURCE_EXHAUSTED, f"a report of more than {usages_max} buckets")


def _garbled() -> RpcError:
    return RpcError(GrpcStatus.INTERNAL, "not a RateLimitQuotaUsageReports: cut short or garbled")


def _invalid(reason: str) -> RpcError:
    return RpcError(GrpcStatus.INVALID_ARGUMENT, reason)
