import filecmp
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2

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


def test_service_has_the_upstream_path() -> None:
    """Envoy calls the service by this name."""
    service = rls_pb2.DESCRIPTOR.services_by_name["RateLimitService"]
    assert [method.full_name for method in service.methods] == [
        "envoy.service.ratelimit.v3.RateLimitService.ShouldRateLimit"
    ]
