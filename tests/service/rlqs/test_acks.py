import pytest

from ratelimit.quota.assignment import Assign, Probe
from ratelimit.service.rlqs.acks import Given, came_through_a_proxy

# What the real Envoy 1.40 sends on its own stream, and what comes where another one forwards it.
DIRECT = [("x-envoy-internal", "true"), ("x-forwarded-for", "192.0.2.2")]
FORWARDED = [("x-forwarded-for", "192.0.2.2"), ("x-forwarded-proto", "http")]


def test_a_proxy_shows_in_the_head_of_a_stream() -> None:
    """Also where it makes no request ids."""
    assert not came_through_a_proxy(DIRECT)
    assert came_through_a_proxy(FORWARDED)


def reports(given: Given, *each: tuple[float, int], elapsed_s: float = 5) -> list[bool]:
    """What reports at these moments say, of so many allowed."""
    return [given.reported(allowed, elapsed_s, at_s) for at_s, allowed in each]


@pytest.mark.parametrize(("allowed", "contradicted"), [(500, False), (700, False), (1000, True)])
def test_more_than_was_given_contradicts_an_acknowledgement(allowed: int, contradicted: bool) -> None:
    """100 per second for 5 s are 500 and a little; before the third report more may have passed unassigned."""
    given = Given()
    given.told(Assign(10, 6000, 12), 0.0)
    assert reports(given, (0.1, 9000)) == [False]
    given.told(Assign(10, 6000, 12), 0.2)
    assert reports(given, (5.1, 9000)) == [False]
    given.told(Assign(10, 6000, 12), 5.2)
    given.told(Probe(), 6.0)
    assert reports(given, (10.1, allowed)) == [contradicted]


def test_a_cut_that_is_not_obeyed_shows() -> None:
    """What is given counts by the time that it was in force."""
    given = Given()
    given.told(Assign(10, 60_000, 12), 0.0)
    assert reports(given, (4.0, 4000), (8.0, 4000), (12.0, 4000)) == [False] * 3
    given.told(Assign(5, 600, 12), 12.0)
    assert reports(given, (16.0, 4000)) == [True]


def test_a_new_bucket_and_one_without_us_are_not_judged() -> None:
    """Nothing is assigned there, or what the Envoy does without an assignment is in force."""
    given = Given()
    given.told(Assign(10, 600, 12), 0.0)
    assert reports(given, (5.0, 50), (10.0, 50)) == [False] * 2
    assert reports(given, (30.0, 5000)) == [False]
    assert reports(given, (31.0, 5000), elapsed_s=0) == [False]
