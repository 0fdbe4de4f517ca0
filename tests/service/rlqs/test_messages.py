import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from ratelimit.pb.envoy.type.v3 import ratelimit_strategy_pb2
from ratelimit.quota.assignment import Abandon, Assign
from ratelimit.service.rlqs.messages import (
    MESSAGE_BYTES_MAX,
    Blanket,
    assigned,
    blanket,
    bucket_of,
    entries_of,
    read_reports,
    response,
)
from tests.service.rlqs.streams import report

STRATEGY = ratelimit_strategy_pb2.RateLimitStrategy


def parsed(*parts: bytes) -> rlqs_pb2.RateLimitQuotaResponse:
    """What an Envoy reads."""
    return rlqs_pb2.RateLimitQuotaResponse.FromString(response(parts))


def test_a_report_is_read() -> None:
    """Counts, the time since the last one, and the bucket, whose name does not depend on the order of its map."""
    message = rlqs_pb2.RateLimitQuotaUsageReports(domain="d")
    usage = message.bucket_quota_usages.add(num_requests_allowed=7, num_requests_denied=3)
    usage.bucket_id.bucket["b"], usage.bucket_id.bucket["a"] = "2", "1"
    usage.time_elapsed.seconds, usage.time_elapsed.nanos = 5, 500_000_000
    found = read_reports(message.SerializeToString(), 10)
    assert (found.domain, found.broken, found.absurd) == ("d", 0, 0)
    assert found.usages == [(bucket_of({"a": "1", "b": "2"}), 7, 3, 5.5)]
    assert entries_of(found.usages[0][0]) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("seconds", "allowed", "bounded"),
    [(-5, 1, (0.0, 1)), (10**9, 1, (86400.0, 1)), (5, 2**63, (5.0, 10**12))],
)
def test_absurd_numbers_are_bounded_and_told_apart(seconds: int, allowed: int, bounded: tuple[float, int]) -> None:
    """A negative or endless time, more requests than there can be."""
    message = rlqs_pb2.RateLimitQuotaUsageReports(domain="d")
    usage = message.bucket_quota_usages.add(num_requests_allowed=allowed, num_requests_denied=1)
    usage.bucket_id.bucket["a"] = "1"
    usage.time_elapsed.seconds = seconds
    found = read_reports(message.SerializeToString(), 10)
    ((_, allowed, _, elapsed_s),) = found.usages
    assert (found.absurd, (elapsed_s, allowed)) == (1, bounded)


def test_usages_without_a_usable_bucket_are_left_out() -> None:
    """None, one of too many entries, and texts that are too long; the others count."""
    message = rlqs_pb2.RateLimitQuotaUsageReports(domain="d")
    message.bucket_quota_usages.add(num_requests_allowed=1)
    for entries in ({f"k{n}": "v" for n in range(17)}, {"k" * 257: "v"}, {"k": "ü" * 2049}, {"k": "v"}):
        message.bucket_quota_usages.add().bucket_id.bucket.update(entries)
    found = read_reports(message.SerializeToString(), 10)
    assert (len(found.usages), found.broken) == (1, 4)


def test_a_report_is_bounded_before_it_is_built() -> None:
    """By its bytes, by its usages, by fields that nobody knows; and it may be none at all."""
    many = report(*(("k", str(number), 1, 0) for number in range(11)))
    for message, code, reason in (
        (bytes(MESSAGE_BYTES_MAX + 1), GrpcStatus.INVALID_ARGUMENT, "bytes"),
        (many, GrpcStatus.RESOURCE_EXHAUSTED, "more than 10 buckets"),
        (report(*(("k", "", 0, 0) for _ in range(11))) + many, GrpcStatus.RESOURCE_EXHAUSTED, "more than 10 buckets"),
        (b"\x12\x00" * 11, GrpcStatus.RESOURCE_EXHAUSTED, "more than 10 buckets"),
        (b"\x48\x01" * 65_536 + b"\x48\x01", GrpcStatus.RESOURCE_EXHAUSTED, "more than 10 buckets"),
        (b"\xff", GrpcStatus.INTERNAL, "garbled"),
        (b"\x12\x7f" + bytes(40), GrpcStatus.INTERNAL, "garbled"),
        (b"\x0b" + bytes(40), GrpcStatus.INTERNAL, "garbled"),
        (b"\x0b" + bytes(2**17), GrpcStatus.INTERNAL, "garbled"),
        (b"\x12\x04\x0a\x02\x0a\x7f", GrpcStatus.INTERNAL, "garbled"),  # a bucket id
        (b"\x12\x05\x0a\x03\x0a\x01\xff", GrpcStatus.INTERNAL, "garbled"),
        (b"\x12\x02\x12\x00\x12\x03\x12\x01\x08", GrpcStatus.INTERNAL, "garbled"),  # a time
        (b"\x12\x1b\x12\x19" + b"\x48\x01" * 12 + b"\x08", GrpcStatus.INTERNAL, "garbled"),
        (rlqs_pb2.RateLimitQuotaUsageReports(domain="d" * 257).SerializeToString(), GrpcStatus.INVALID_ARGUMENT, "256"),
    ):
        with pytest.raises(RpcError) as caught:
            read_reports(message, 10)
        assert caught.value.grpc_status == code
        assert reason in caught.value.details


def test_what_nobody_knows_in_a_report_is_skipped() -> None:
    """A field of a later version, of any kind, as large messages are counted before they are read."""
    unknown = b"\x48\x01" + b"\x51" + bytes(8) + b"\x5d" + bytes(4)
    for size in (100, 2**17):
        found = read_reports(report(("k", "v" * 100, 1, 0), ("k", "v" * size, 1, 0)) + unknown, 10)
        assert found.usages[0] == (bucket_of({"k": "v" * 100}), 1, 0, 0)
        assert found.broken == (size > 100)


def test_assignments_are_what_envoy_reads() -> None:
    """A token bucket, none at all, and the end of a bucket; the same bytes serve the next bucket."""
    one, other = bucket_of({"a": "1"}), bucket_of({"a": "2" * 300})
    given = Assign(5, 90, 12)
    found = parsed(
        assigned(one, given), assigned(other, given), assigned(one, Assign(1, 0, 12)), assigned(one, Abandon())
    )
    first, second, denied, abandoned = found.bucket_action
    assert dict(second.bucket_id.bucket) == {"a": "2" * 300}
    for action in (first.quota_assignment_action, second.quota_assignment_action):
        bucket = action.rate_limit_strategy.token_bucket
        assert (bucket.max_tokens, bucket.tokens_per_fill.value, bucket.fill_interval.seconds) == (5, 90, 60)
        assert action.assignment_time_to_live.seconds == 12
    assert denied.quota_assignment_action.rate_limit_strategy.blanket_rule == STRATEGY.DENY_ALL
    assert abandoned.WhichOneof("bucket_action") == "abandon_action"


def test_a_rate_beyond_what_can_be_said_is_the_largest() -> None:
    """A limit may be 4 billion per second, and a minute has sixty."""
    (action,) = parsed(assigned(bucket_of({"a": "1"}), Assign(2**33, 2**38, 12))).bucket_action
    bucket = action.quota_assignment_action.rate_limit_strategy.token_bucket
    assert bucket.max_tokens == bucket.tokens_per_fill.value == 2**32 - 1


def test_rules_without_a_ledger_are_what_envoy_reads() -> None:
    """Everything, nothing, and nothing known."""
    bucket = bucket_of({"a": "1"})
    found = parsed(*(blanket(bucket, rule, 60) for rule in Blanket)).bucket_action
    rules = [each.quota_assignment_action.rate_limit_strategy.blanket_rule for each in found[:2]]
    assert rules == [STRATEGY.ALLOW_ALL, STRATEGY.DENY_ALL]
    assert found[2].WhichOneof("bucket_action") == "abandon_action"


@given(st.binary(max_size=300), st.integers(0, 2**40), st.integers(1, 2**40), st.integers(1, 2**20))
def test_assignments_are_the_bytes_that_protobuf_makes(value: bytes, tokens: int, most: int, ttl_s: int) -> None:
    """Whatever the bucket, the rates and the time."""
    bucket = bucket_of({"a": value.hex()})
    action = rlqs_pb2.RateLimitQuotaResponse.BucketAction()
    action.bucket_id.bucket["a"] = value.hex()
    assignment = action.quota_assignment_action
    assignment.assignment_time_to_live.seconds = ttl_s
    if tokens:
        token_bucket = assignment.rate_limit_strategy.token_bucket
        token_bucket.max_tokens, token_bucket.fill_interval.seconds = min(most, 2**32 - 1), 60
        token_bucket.tokens_per_fill.value = min(tokens, 2**32 - 1)
    else:
        assignment.rate_limit_strategy.blanket_rule = STRATEGY.DENY_ALL
    made = rlqs_pb2.RateLimitQuotaResponse(bucket_action=[action]).SerializeToString(deterministic=True)
    assert response([assigned(bucket, Assign(most, tokens, ttl_s))]) == made
