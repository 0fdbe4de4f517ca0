"""Protobuf of rlqs.proto in and out: reports from the bytes of a message, assignments to the bytes of a response.

A bucket id is kept as its canonical bytes, entries in the order of their keys: they name the bucket in every table, and
are sent back as they are. What a bucket is told is written here field by field, thousands of times a second.
"""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError

from ratelimit.descriptors.bucket_id import ENTRIES_MAX
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from ratelimit.pb.envoy.type.v3 import ratelimit_strategy_pb2
from ratelimit.pb.ratelimit.quota.v1 import usage_reports_pb2
from ratelimit.quota.assignment import Abandon, Assign
from ratelimit.service.rlqs.order import Order
from ratelimit.service.status_bytes import varint
from ratelimit.service.wire import has_at_most

QUOTA_SERVICE_NAME = rlqs_pb2.DESCRIPTOR.services_by_name["RateLimitQuotaService"].full_name
QUOTA_METHOD = "StreamRateLimitQuotas"
MESSAGE_BYTES_MAX = 1024 * 1024
KEY_BYTES_MAX, VALUE_BYTES_MAX, DOMAIN_BYTES_MAX = 256, 4096, 256
# What no Envoy counts in 5 s, and how long none is silent: a day. The ledger has bounds of its own.
COUNT_MAX = 10**12
ELAPSED_S_MAX = 24 * 3600
UINT32_MAX = 2**32 - 1

# Fields of RateLimitQuotaResponse, BucketAction and QuotaAssignmentAction, each with what it holds.
_BUCKET_ACTION = b"\x0a"
_BUCKET_ID, _ASSIGNMENT, _ABANDON = b"\x0a", b"\x12", b"\x1a\x00"
_TTL, _STRATEGY = b"\x12", b"\x1a"
# Of RateLimitStrategy and its TokenBucket.
_RULE, _TOKEN_BUCKET = b"\x08", b"\x1a"
_MAX_TOKENS, _TOKENS_PER_FILL, _FILL_INTERVAL = b"\x08", b"\x12", b"\x1a"
# The only field of a Duration in whole seconds, and of a UInt32Value.
_NUMBER = b"\x08"
_FIELD_BYTES_MIN = 2
# What is shorter is read in a few milliseconds, whatever it holds.
_COUNTED_BYTES_MIN = 128 * 1024
# The longest Duration there is, without fields that nobody knows.
_DURATION_BYTES_MAX = 22
_RULES = ratelimit_strategy_pb2.RateLimitStrategy


class Blanket(Enum):
    """What a bucket that is not divided is answered."""

    ALLOW = "allow"
    DENY = "deny"
    ABANDON = "abandon"


Usage: TypeAlias = tuple[bytes, int, int, float]
"""What an Envoy reports of one bucket: the bucket, the requests allowed and denied, and in how many seconds."""


@dataclass(slots=True)
class Reports:
    """One message: of its usages `buckets`, `allowed`, `denied` and `elapsed_s`, which are all alike where `even`.

    `domain` may be empty; `broken` usages have no bucket id that could be one, and are left out. `absurd` ones have a
    number that no Envoy can mean; it is bounded here. `repeats`: `order`, that of the buckets, is the one before.
    """

    domain: str
    buckets: list[bytes]
    allowed: list[int]
    denied: list[int]
    elapsed_s: list[float]
    even: bool
    order: Order
    repeats: bool = False
    broken: int = 0
    absurd: int = 0

    def __len__(self) -> int:
        return len(self.buckets)

    @property
    def usages(self) -> list[Usage]:
        """All of them."""
        return self.cut(0, len(self))

    def cut(self, start: int, end: int) -> list[Usage]:
        """Some of them."""
        columns = self.buckets, self.allowed, self.denied, self.elapsed_s
        return list(zip(*(each[start:end] for each in columns), strict=True))


def read_reports(message: bytes, usages_max: int, known: Container[bytes] = (), before: Order | None = None) -> Reports:
    """Read a serialised RateLimitQuotaUsageReports. Raises RpcError: what it holds is counted before it is built.

    Bucket ids in `known` were found sound before, and so were those of the order before.
    """
    if len(message) > MESSAGE_BYTES_MAX:
        raise _invalid(f"the report has {len(message)} bytes, at most {MESSAGE_BYTES_MAX} are allowed")
    if len(message) > max(_COUNTED_BYTES_MIN, _FIELD_BYTES_MIN * usages_max):
        _count(message, usages_max)
    try:
        reports = usage_reports_pb2.UsageReports.FromString(message)
        if len(reports.bucket_quota_usages) > usages_max:
            raise _too_many(usages_max)
        if len(reports.domain.encode()) > DOMAIN_BYTES_MAX:
            raise _invalid(f"the domain has more than {DOMAIN_BYTES_MAX} bytes")
        return _read(reports, known, before)
    except DecodeError:
        raise _garbled() from None


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
    # A limit may be more than the fields can say: then so much it is.
    tokens_per_fill = _NUMBER + varint(min(action.tokens_per_fill, UINT32_MAX))
    token_bucket = (
        _MAX_TOKENS
        + varint(min(action.max_tokens, UINT32_MAX))
        + _field(_TOKENS_PER_FILL, tokens_per_fill)
        + _field(_FILL_INTERVAL, _NUMBER + varint(action.fill_interval_s))
    )
    return _part(bucket, _assignment(_field(_TOKEN_BUCKET, token_bucket), action.ttl_s))


def blanket(bucket: bytes, rule: Blanket, ttl_s: int) -> bytes:
    """The same for a bucket without a ledger."""
    if rule is Blanket.ABANDON:
        return _part(bucket, _ABANDON)
    number = _RULES.ALLOW_ALL if rule is Blanket.ALLOW else _RULES.DENY_ALL
    return _part(bucket, _assignment(_RULE + varint(number), ttl_s))


def response(parts: Iterable[bytes]) -> bytes:
    """A serialised RateLimitQuotaResponse of what buckets are told."""
    return b"".join(parts)


def _read(reports: usage_reports_pb2.UsageReports, known: Container[bytes], before: Order | None) -> Reports:
    """Raises DecodeError for a bucket id or a time that is none."""
    usages = list(reports.bucket_quota_usages)
    came, times = [usage.bucket_id for usage in usages], [usage.time_elapsed for usage in usages]
    allowed, denied = [usage.num_requests_allowed for usage in usages], [usage.num_requests_denied for usage in usages]
    even = len(set(times)) == 1
    elapsed_s = [_elapsed_s(times[0])] * len(times) if even else [_elapsed_s(each) for each in times]
    repeats = before is not None and before.is_of(came)
    if repeats and before is not None:
        order = before
    else:
        canonical = [each if each in known else _canonical(each) for each in came]
        sound = [at for at, each in enumerate(canonical) if each]
        if len(sound) < len(usages):
            came = [came[at] for at in sound]
            allowed, denied = [allowed[at] for at in sound], [denied[at] for at in sound]
            elapsed_s = [elapsed_s[at] for at in sound]
        order = Order(came, [each for each in canonical if each])
    found = Reports(reports.domain, order.buckets, allowed, denied, elapsed_s, even, order, repeats)
    found.broken = len(usages) - len(allowed)
    if allowed and (
        max(allowed) > COUNT_MAX
        or max(denied) > COUNT_MAX
        or not 0 <= min(elapsed_s) <= max(elapsed_s) <= ELAPSED_S_MAX
    ):
        _bound(found)
    return found


def _bound(reports: Reports) -> None:
    """Have no number that no Envoy can mean."""
    for at, (_, allowed, denied, elapsed_s) in enumerate(reports.usages):
        if not 0 <= elapsed_s <= ELAPSED_S_MAX or allowed > COUNT_MAX or denied > COUNT_MAX:
            reports.absurd += 1
            reports.allowed[at], reports.denied[at] = min(allowed, COUNT_MAX), min(denied, COUNT_MAX)
            reports.elapsed_s[at] = min(max(elapsed_s, 0.0), float(ELAPSED_S_MAX))


def _canonical(came: bytes) -> bytes:
    """The canonical form of a bucket id; empty for what cannot be one. Raises DecodeError."""
    bucket_id = rlqs_pb2.BucketId.FromString(came)
    return bucket_id.SerializeToString(deterministic=True) if _is_sound(bucket_id.bucket) else b""


def _elapsed_s(elapsed: bytes) -> float:
    return _short_seconds(elapsed) if len(elapsed) <= _DURATION_BYTES_MAX else _seconds(elapsed)


def _seconds(elapsed: bytes) -> float:
    """What a serialised Duration comes to. Raises DecodeError."""
    duration = Duration.FromString(elapsed)
    return duration.seconds + duration.nanos / 1e9


# Nearly all reports say the same.
_short_seconds = lru_cache(256)(_seconds)


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


def _part(bucket: bytes, told: bytes) -> bytes:
    return _field(_BUCKET_ACTION, _field(_BUCKET_ID, bucket) + told)


def _assignment(strategy: bytes, ttl_s: int) -> bytes:
    return _field(_ASSIGNMENT, _field(_TTL, _NUMBER + varint(ttl_s)) + _field(_STRATEGY, strategy))


def _field(tag: bytes, value: bytes) -> bytes:
    return tag + varint(len(value)) + value


def _too_many(usages_max: int) -> RpcError:
    return RpcError(GrpcStatus.RESOURCE_EXHAUSTED, f"a report of more than {usages_max} buckets")


def _garbled() -> RpcError:
    return RpcError(GrpcStatus.INTERNAL, "not a RateLimitQuotaUsageReports: cut short or garbled")


def _invalid(reason: str) -> RpcError:
    return RpcError(GrpcStatus.INVALID_ARGUMENT, reason)
