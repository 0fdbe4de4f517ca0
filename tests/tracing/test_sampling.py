import random

import pytest

from ratelimit.tracing.sampling import NEVER, Sampling
from ratelimit.transport.trace_fields import UNSAMPLED, Parent

TRACED = Parent(((b"b3", b"1"),))


def test_the_caller_decides_where_it_has_decided() -> None:
    """Whatever the rate is."""
    for rate in (0.0, 1.0):
        assert list(Sampling(rate).chosen([TRACED, UNSAMPLED, Parent(((b"b3", b"2"),))])) == [0, 2]
    assert list(Sampling(1.0).chosen([UNSAMPLED, UNSAMPLED])) == []


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.3, 1.0])
def test_of_calls_without_a_trace_a_part_is_chosen(rate: float) -> None:
    """As many as dice would choose, however the calls come together."""
    chance = random.Random(7)
    sampling, chosen, calls = Sampling(rate, chance.random), 0, 0
    while calls < 100_000:
        parents = [chance.choice((None, None, None, UNSAMPLED)) for _ in range(chance.randrange(1, 200))]
        places = sampling.chosen(parents)
        assert all(parents[place] is None for place in places)
        chosen += len(places)
        calls += parents.count(None)
    assert abs(chosen / calls - rate) < 0.1 * rate + 1e-9


def test_a_place_is_chosen_once() -> None:
    """In the order of the calls, beside those that their callers trace."""
    assert list(Sampling(1.0).chosen([None, TRACED, UNSAMPLED, None])) == [0, 1, 3]
    assert list(Sampling(0.5, lambda: 0.5).chosen([None, None, TRACED, None])) == [1, 2]


def test_what_lies_outside_means_the_nearer_end() -> None:
    """A rate above 1 is all, below 0 is none; a draw of almost 1 does not fail."""
    assert list(Sampling(7.0).chosen([None])) == [0]
    assert list(Sampling(-1.0).chosen([None])) == []
    assert Sampling(1e-30, lambda: 1 - 2**-53)._to_next <= NEVER
