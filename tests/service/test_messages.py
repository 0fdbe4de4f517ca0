import json
import math

import pytest
from google.protobuf import wrappers_pb2

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.limiter.decision import decide
from ratelimit.limiter.plan import Plan, Verdict
from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.messages import (
    look_bytes,
    parse_request,
    request_bytes_from_json,
    request_text,
    response_bytes,
    response_json,
    told_of,
)
from ratelimit.settings import ResponseSettings
from tests.limiter.plans import NOW, charge
from tests.service.messages_of import descriptor, request

Override = ratelimit_pb2.RateLimitDescriptor.RateLimitOverride


def test_every_field_is_read() -> None:
    """Presence matters: an absent hits_addend is not 0."""
    full = descriptor(
        ("k", ""),
        limit=Override(requests_per_unit=42, unit=3),
        hits_addend=wrappers_pb2.UInt64Value(value=0),
        is_negative_hits=True,
    )
    parsed = parse_request(request(full, descriptor(("a", "b")), hits_addend=7))
    assert (parsed.domain, parsed.hits_addend) == ("d", 7)
    assert parsed.descriptors[0].limit == Limit(42, Unit.HOUR)
    assert (parsed.descriptors[0].hits_addend, parsed.descriptors[0].is_negative_hits) == (0, True)
    assert parsed.descriptors[1].hits_addend is None


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"])
def test_what_is_no_message_is_internal(message: bytes) -> None:
    """Bad protobuf and bad UTF-8, as a gRPC codec would say."""
    with pytest.raises(RpcError) as caught:
        parse_request(message)
    assert caught.value.grpc_status is GrpcStatus.INTERNAL


@pytest.mark.parametrize("override", [Override(unit=0), Override(unit=7), Override(unit=99)])
def test_an_override_without_a_unit_is_refused(override: Override) -> None:
    """It would crash the reference; here the caller hears which descriptor."""
    with pytest.raises(RpcError, match=r"descriptors\[1\].limit.unit") as caught:
        parse_request(request(descriptor(("a", "b")), descriptor(("a", "b"), limit=override)))
    assert caught.value.grpc_status is GrpcStatus.INVALID_ARGUMENT


def several(multiplier: int, unit: int = 1) -> bytes:
    """A request with an override of several units."""
    wrapped = wrappers_pb2.UInt32Value(value=multiplier)
    return request(descriptor(("a", "b"), limit=Override(requests_per_unit=9, unit=unit, unit_multiplier=wrapped)))


def test_an_override_may_last_several_units() -> None:
    """Its window is so many units long."""
    limit = parse_request(several(5)).descriptors[0].limit
    assert limit == Limit(9, Unit.SECOND, unit_multiplier=5)
    assert limit.window_s == 5


@pytest.mark.parametrize(("multiplier", "unit"), [(0, 1), (315_360_001, 1), (11, 6)])
def test_a_multiplier_has_bounds(multiplier: int, unit: int) -> None:
    """At least one unit, at most ten years."""
    with pytest.raises(RpcError, match=r"descriptors\[0\].limit.unit_multiplier: \d+, 1 to \d+ is wanted") as caught:
        parse_request(several(multiplier, unit))
    assert caught.value.grpc_status is GrpcStatus.INVALID_ARGUMENT


def test_a_multiplier_is_told_in_the_metadata() -> None:
    """The override is described as it was sent."""
    plan = Plan("d", (charge(of=Limit(9, Unit.SECOND, unit_multiplier=5)),))
    decision = decide(plan, [each.algorithm.judge(1, 9, 5) for each in plan.charges])
    settings = ResponseSettings(response_dynamic_metadata=True)
    message = response_bytes(plan, decision, over_limit=False, settings=settings, asked=several(5))
    response = rls_pb2.RateLimitResponse.FromString(message)
    described = response.dynamic_metadata["descriptors"][0]["limit"]  # type: ignore[index]
    assert described == "requests_per_unit:9 unit:SECOND unit_multiplier:{value:5}"
    assert response.statuses[0].current_limit.unit_multiplier.value == 5


LIMIT = Limit(10, Unit.MINUTE, name="gold", metadata={"team": {"a": 1}, "x": "first"})
OTHER = Limit(5, Unit.DAY, metadata={"team": {"a": 2, "b": 3}, "x": "second"})
PLAN = Plan("d", (charge(of=LIMIT), Verdict.NO_LIMIT, Verdict.UNLIMITED, charge(of=OTHER)))
ASKED = request(
    descriptor(("k", "v"), limit=Override(requests_per_unit=10, unit=2), hits_addend=wrappers_pb2.UInt64Value(value=3)),
    descriptor(("a", "b")),
    hits_addend=2,
)


def answer(*counts: int, **settings: object) -> rls_pb2.RateLimitResponse:
    """The response to PLAN with these counts."""
    results = [
        each.algorithm.judge(count, each.requests_per_unit, each.key.reset_s(NOW))
        for each, count in zip(PLAN.charges, counts, strict=True)
    ]
    decision = decide(PLAN, results)
    given = ResponseSettings.model_validate(settings)
    message = response_bytes(PLAN, decision, over_limit=decision.over_limit, settings=given, asked=ASKED)
    return rls_pb2.RateLimitResponse.FromString(message)


def test_statuses_have_exactly_the_fields_of_the_reference() -> None:
    """In order, one per descriptor, with presence as a client's comparison sees it."""
    response = answer(4, 6)
    counted, bare, unlimited, over = response.statuses
    assert (counted.code, counted.limit_remaining, counted.current_limit.name) == (1, 6, "gold")
    assert (counted.current_limit.requests_per_unit, counted.current_limit.unit) == (10, 2)
    assert (counted.duration_until_reset.seconds, counted.duration_until_reset.nanos) == (60 - NOW % 60, 0)
    assert [bare.HasField(name) for name in ("current_limit", "duration_until_reset")] == [False, False]
    assert (unlimited.limit_remaining, unlimited.HasField("current_limit")) == (2**32 - 1, False)
    assert (over.code, over.limit_remaining, over.HasField("duration_until_reset")) == (2, 0, True)
    assert response.overall_code == rls_pb2.RateLimitResponse.OVER_LIMIT


def test_headers_are_of_the_tightest_in_order() -> None:
    """Limit, remaining and reset, under the names of the settings."""
    headers = answer(4, 3, limit_response_headers_enabled=True, limit_limit_header="X-Limit").response_headers_to_add
    reset = str(86_400 - NOW % 86_400)
    assert [(header.key, header.value) for header in headers] == [
        ("X-Limit", "5"),
        ("RateLimit-Remaining", "2"),
        ("RateLimit-Reset", reset),
    ]
    assert not answer(1, 1).response_headers_to_add


def test_dynamic_metadata_tells_the_request_and_what_passed() -> None:
    """Merged level by level, the first value wins, and nothing leaks into the next request."""
    for _ in range(2):
        told = json.loads(response_json(answer(4, 3, response_dynamic_metadata=True).SerializeToString())[1])
        assert told["dynamicMetadata"] == {
            "domain": "d",
            "descriptors": [
                {"entries": ["k=v"], "limit": "requests_per_unit:10 unit:MINUTE", "hitsAddend": 3},
                {"entries": ["a=b"]},
            ],
            "hitsAddend": 2,
            "metadata": {"team": {"a": 1, "b": 3}, "x": "first"},
        }
    assert '"hitsAddend": 3' in json.dumps(told)
    assert LIMIT.metadata == {"team": {"a": 1}, "x": "first"}


@pytest.mark.parametrize(
    "value",
    [
        {"domain": 1},
        {"nonsense": 1},
        {"hitsAddend": math.inf},
        {"domain": "\ud800"},
        {"descriptors": ["x"]},
        {"descriptors": {"a": 1}},
    ],
)
def test_bad_json_is_refused(value: dict[str, object]) -> None:
    """Unknown fields, and values of other types."""
    with pytest.raises(RpcError, match="not a RateLimitRequest in JSON"):
        request_bytes_from_json(value)


def test_json_is_read() -> None:
    """Proto JSON in either spelling of names."""
    value = {"domain": "d", "hits_addend": 2, "descriptors": [{"entries": [{"key": "k", "value": "v"}]}]}
    assert request_bytes_from_json(value) == request(descriptor(("k", "v")), hits_addend=2)


def test_a_request_is_told_to_people() -> None:
    """Its domain, and all of it on one line; bytes that are none have no text."""
    message = rls_pb2.RateLimitRequest(domain="d", hits_addend=2).SerializeToString()
    assert request_text(message) == ("d", 'domain: "d" hits_addend: 2')
    assert request_text(b"\xff") == ("", "")


def test_a_look_asks_the_same_and_counts_nothing() -> None:
    """Its hits are 0, whatever those of the request are."""
    entries = (("k", "v"), ("x", ""))
    (found,) = parse_request(look_bytes(Request("d", (Descriptor(entries, hits_addend=3),), 2))).descriptors
    assert (found.entries, found.hits_addend) == (entries, 0)


def test_what_a_response_tells_of_each_descriptor() -> None:
    """What is left and when it resets; None where there is no limit."""
    response = rls_pb2.RateLimitResponse()
    response.statuses.add(code=1)
    status = response.statuses.add(code=1, limit_remaining=4)
    status.current_limit.requests_per_unit = 5
    status.duration_until_reset.seconds = 9
    assert told_of(response.SerializeToString()) == [None, (4, 9)]
