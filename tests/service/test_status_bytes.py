import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.limiter.decision import decide
from ratelimit.limiter.plan import Plan, Verdict
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.messages import response_bytes
from ratelimit.service.status_bytes import StatusBytes, varint, verdict_bytes
from ratelimit.settings import ResponseSettings
from tests.limiter.plans import charge

MOMENTS = st.integers(0, 2**33)
NUMBERS = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([0, 1, 127, 128, 16383, 16384, 2**28 - 1, 2**28]))
LIMITS = st.builds(
    Limit,
    NUMBERS,
    st.sampled_from(Unit),
    name=st.text(max_size=200),
    shadow_mode=st.booleans(),
    unlimited=st.just(False),
    unit_multiplier=st.integers(1, 10),
    calendar=st.booleans(),
)


def by_protobuf(limit: Limit, count: int, now: int) -> bytes:
    """The response that the full way writes for one limit."""
    one = charge(of=limit)
    one.turn(now, 0)
    plan = Plan("d", (one,))
    result = one.algorithm.judge(count, limit.requests_per_unit, one.key.reset_s(now))
    decision = decide(plan, [result])
    over_limit, settings = decision.over_limit, ResponseSettings()
    return response_bytes(plan, decision, over_limit=over_limit, settings=settings, asked=b"")


@given(LIMITS, st.lists(st.tuples(NUMBERS, st.one_of(st.integers(0, 90), MOMENTS)), min_size=1, max_size=6))
def test_it_writes_what_protobuf_writes(limit: Limit, asked: list[tuple[int, int]]) -> None:
    """Byte for byte, for any limit, count and sequence of moments."""
    alone = StatusBytes(limit, alone=True)
    for count, now in asked:
        remaining = limit.requests_per_unit - count
        written = alone.within(remaining, now) if remaining >= 0 else alone.beyond(now)
        assert written == by_protobuf(limit, count, now)


@given(LIMITS, NUMBERS, MOMENTS)
def test_a_status_has_no_overall_code_unless_it_stands_alone(limit: Limit, count: int, now: int) -> None:
    """Joined behind a code of two bytes it is the same response."""
    status, remaining = StatusBytes(limit), limit.requests_per_unit - count
    written = status.within(remaining, now) if remaining >= 0 else status.beyond(now)
    assert by_protobuf(limit, count, now)[2:] == written


@pytest.mark.parametrize("verdict", list(Verdict))
def test_verdicts_are_what_protobuf_writes(verdict: Verdict) -> None:
    """A descriptor that is not counted has the status of the full way."""
    plan = Plan("d", (verdict,))
    message = response_bytes(plan, decide(plan, []), over_limit=False, settings=ResponseSettings(), asked=b"")
    assert message == b"\x08\x01" + verdict_bytes(verdict)


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_back(number: int) -> None:
    """Seven bits a byte, the lowest first."""
    parts = varint(number)
    assert sum((byte & 127) << 7 * place for place, byte in enumerate(parts)) == number
    assert [byte < 128 for byte in parts] == [False] * (len(parts) - 1) + [True]


def test_the_field_numbers_are_those_of_the_proto() -> None:
    """What is written by hand follows rls.proto."""
    fields = rls_pb2.RateLimitResponse.DescriptorStatus.DESCRIPTOR.fields_by_name
    numbers = [fields[name].number for name in ("code", "current_limit", "limit_remaining", "duration_until_reset")]
    assert (numbers, rls_pb2.RateLimitResponse.DESCRIPTOR.fields_by_name["statuses"].number) == ([1, 2, 3, 4], 2)
