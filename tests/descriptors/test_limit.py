from ratelimit.descriptors.limit import Limit, Unit
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2


def test_units_have_the_numbers_of_the_wire() -> None:
    """Each unit is written with its number in rls.proto."""
    assert {unit.name: unit.wire for unit in Unit} == {
        name: number for name, number in rls_pb2.RateLimitResponse.RateLimit.Unit.items() if number
    }


def test_a_period_is_told_in_words() -> None:
    """One unit, or several."""
    assert [Limit(1, Unit.DAY, unit_multiplier=times).period for times in (1, 7)] == ["day", "7 days"]
