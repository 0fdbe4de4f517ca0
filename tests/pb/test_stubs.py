import filecmp
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.pb.envoy.type.v3 import ratelimit_strategy_pb2, token_bucket_pb2

ROOT = Path(__file__).parents[2]
FIELDS: list[tuple[Any, dict[str, int]]] = [
    (rls_pb2.RateLimitRequest.DESCRIPTOR, {"domain": 1, "descriptors": 2, "hits_addend": 3}),
    (
        rls_pb2.RateLimitResponse.DESCRIPTOR,
        {
            "overall_code": 1,
            "statuses": 2,
            "response_headers_to_add": 3,
            "request_headers_to_add": 4,
            "raw_body": 5,
            "dynamic_metadata": 6,
            "quota": 7,
        },
    ),
    (
        rls_pb2.RateLimitResponse.RateLimit.DESCRIPTOR,
        {"requests_per_unit": 1, "unit": 2, "name": 3, "unit_multiplier": 4},
    ),
    (rls_pb2.RateLimitResponse.Quota.DESCRIPTOR, {"requests": 1, "valid_until": 2, "id": 3}),
    (
        rls_pb2.RateLimitResponse.DescriptorStatus.DESCRIPTOR,
        {"code": 1, "current_limit": 2, "limit_remaining": 3, "duration_until_reset": 4, "quota": 5},
    ),
    (
        ratelimit_pb2.RateLimitDescriptor.DESCRIPTOR,
        {"entries": 1, "limit": 2, "hits_addend": 3, "is_negative_hits": 4},
    ),
    (
        ratelimit_pb2.RateLimitDescriptor.RateLimitOverride.DESCRIPTOR,
        {"requests_per_unit": 1, "unit": 2, "unit_multiplier": 3},
    ),
    (rlqs_pb2.RateLimitQuotaUsageReports.DESCRIPTOR, {"domain": 1, "bucket_quota_usages": 2}),
    (
        rlqs_pb2.RateLimitQuotaUsageReports.BucketQuotaUsage.DESCRIPTOR,
        {"bucket_id": 1, "time_elapsed": 2, "num_requests_allowed": 3, "num_requests_denied": 4},
    ),
    (rlqs_pb2.BucketId.DESCRIPTOR, {"bucket": 1}),
    (rlqs_pb2.RateLimitQuotaResponse.DESCRIPTOR, {"bucket_action": 1}),
    (
        rlqs_pb2.RateLimitQuotaResponse.BucketAction.DESCRIPTOR,
        {"bucket_id": 1, "quota_assignment_action": 2, "abandon_action": 3},
    ),
    (
        rlqs_pb2.RateLimitQuotaResponse.BucketAction.QuotaAssignmentAction.DESCRIPTOR,
        {"assignment_time_to_live": 2, "rate_limit_strategy": 3},
    ),
    (
        ratelimit_strategy_pb2.RateLimitStrategy.DESCRIPTOR,
        {"blanket_rule": 1, "requests_per_time_unit": 2, "token_bucket": 3},
    ),
    (
        ratelimit_strategy_pb2.RateLimitStrategy.RequestsPerTimeUnit.DESCRIPTOR,
        {"requests_per_time_unit": 1, "time_unit": 2},
    ),
    (token_bucket_pb2.TokenBucket.DESCRIPTOR, {"max_tokens": 1, "tokens_per_fill": 2, "fill_interval": 3}),
]


def test_committed_stubs_are_what_the_protos_give(tmp_path: Path) -> None:
    """`make protos` would change nothing."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "protos" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.generate(tmp_path)
    made = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.py*"))
    committed = ROOT / "ratelimit" / "pb"
    assert made == sorted(
        str(file.relative_to(committed)) for file in committed.rglob("*.py*") if "__pycache__" not in file.parts
    )
    assert filecmp.cmpfiles(tmp_path, committed, made, shallow=False)[0] == made


@pytest.mark.parametrize(("message", "fields"), FIELDS, ids=lambda value: getattr(value, "name", ""))
def test_fields_have_the_numbers_that_envoy_sends(message: Any, fields: dict[str, int]) -> None:
    """Every field of the wire contract is there, with its number."""
    assert {field.name: field.number for field in message.fields} == fields


@pytest.mark.parametrize(
    ("file", "service", "method"),
    [
        (rls_pb2, "RateLimitService", "envoy.service.ratelimit.v3.RateLimitService.ShouldRateLimit"),
        (
            rlqs_pb2,
            "RateLimitQuotaService",
            "envoy.service.rate_limit_quota.v3.RateLimitQuotaService.StreamRateLimitQuotas",
        ),
    ],
    ids=["rls", "rlqs"],
)
def test_services_have_the_upstream_path(file: Any, service: str, method: str) -> None:
    """Envoy calls the services by these names."""
    found = file.DESCRIPTOR.services_by_name[service]
    assert [each.full_name for each in found.methods] == [method]
