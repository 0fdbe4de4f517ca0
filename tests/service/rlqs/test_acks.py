import pytest

from ratelimit.quota.assignment import Assign, Probe
from ratelimit.service.rlqs.acks import Given, came_through_a_proxy, is_more_than

# What the real Envoy 1.40 sends on its own stream, and what comes where another one forwards it.
DIRECT = [("x-envoy-internal", "true"), ("x-forwarded-for", "192.0.2.2")]
FORWARDED = [("x-forwarded-for", "192.0.2.2"), ("x-forwarded-proto", "http")]


def test_a_proxy_shows_in_the_head_of_a_stream() -> None:
    """Also where it makes no request ids."""
    assert not came_through_a_proxy(DIRECT)
    assert came_through_a_proxy(FORWARDED)


def reports(given: Given, *each: tuple[float, int]) -> list[bool]:
    """What reports at these moments say, of so many allowed."""
    return [given.reported(allowed, at_s) for at_s, allowed in each]


@pytest.mark.parametrize(("allowed", "contradicted"), [(500, False), (700, False), (1000, True)])
def test_more_than_was_given_contradicts_an_acknowledgement(allowed: int, contradicted: bool) -> None:
    """100 per second for 5 s are 500 and a little; before it was told something, however late, any number may pass."""
    given = Given(None, 0.0)
    assert reports(given, (0.0, 1), (5.0, 9000), (10.0, 9000)) == [False] * 3
    given = Given(None, 0.0)
    given.told(Assign(10, 6000, 12), 0.1)
    assert reports(given, (5.1, 9000)) == [False]
    given.told(Assign(10, 6000, 12), 5.2)
    given.told(Probe(), 6.0)
    assert not given.over
    assert reports(given, (10.1, allowed)) == [contradicted]
    assert given.over


def test_a_cut_that_is_not_obeyed_shows() -> None:
    """What is given counts by the time that it was in force."""
    given = Given(Assign(10, 60_000, 12), 12.0)
    given.told(Assign(5, 600, 12), 15.0)
    assert reports(given, (16.0, 4000)) == [False]
    given.told(Assign(5, 600, 12), 16.0)
    assert not given.over
    assert reports(given, (20.0, 4000)) == [True]
    assert given.over
    given = Given(Assign(10, 60_000, 12), 12.0)
    given.told(Assign(5, 600, 12), 12.0)
    assert reports(given, (16.0, 4000)) == [True]


@pytest.mark.parametrize(("allowed", "more"), [(500, False), (750, False), (900, True)])
def test_what_is_in_force_for_long_is_obeyed_by_its_rate(allowed: int, more: bool) -> None:
    """100 per second for 5 s, of which the last one may be nearly over."""
    assert is_more_than(Assign(10, 6000, 12), allowed, 5) is more
