from ratelimit.descriptors.limit import Unit
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2


def test_units_have_the_numbers_of_the_wire() -> None:
    """Each unit is written with its number in rls.proto."""
    assert {unit.name: unit.wire for unit in Unit} == {
        name: number for name, number in rls_pb2.RateLimitResponse.RateLimit.Unit.items() if number
    }
