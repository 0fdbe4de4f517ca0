import pytest

from ratelimit.quota.assignment import Assign, Probe
from ratelimit.quota.options import AckMode
from ratelimit.service.rlqs.acks import Given, came_through_a_proxy, is_more_than
from tests.service.rlqs.streams import PROD, PingedEnvoy, ledger_of, quota_service, report, until

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


async def test_a_report_can_contradict_the_answer_to_a_ping() -> None:
    """An Envoy that goes on with what it had before has not read what was acknowledged."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    await envoy.told(report(PROD))
    await until(lambda: stats.acks)
    for number, allowed in enumerate((5, 5, 9000), start=2):
        envoy.send(report(("name", "prod", allowed, 0), elapsed_s=5))
        await until(lambda many=number: stats.reports == many)
    assert stats.ack_fallbacks == 1
    assert ledger_of(service).ledger.options.ack is AckMode.REPORT
    await envoy.end()
    service.close()


async def test_what_was_taken_in_late_contradicts_nothing() -> None:
    """A report that waited for its turn was written before, maybe before its Envoy was told what is held against it."""
    service, stats = quota_service()
    envoy = PingedEnvoy(service)
    await envoy.told(report(PROD))
    await until(lambda: stats.acks)
    for allowed in (5, 5, 9000):  # one right after the other
        envoy.send(report(("name", "prod", allowed, 0), elapsed_s=5))
    await until(lambda: stats.reports == 4)
    assert stats.ack_fallbacks == 0
    await envoy.end()
    service.close()


async def test_one_behind_a_proxy_has_all_be_waited_for_as_long() -> None:
    """Its ledger does not call it silent between its reports, whoever comes to that after it."""
    service, _ = quota_service()
    behind, direct = PingedEnvoy(service, {"x-forwarded-proto": "http"}), PingedEnvoy(service)
    await behind.told(report(PROD))
    await direct.told(report(PROD))
    assert ledger_of(service).ledger.options.ack is AckMode.REPORT
    await behind.end()
    await direct.end()
    service.close()
