import pytest

from ratelimit.limiter.counter_key import CounterFormat, bucket_counter, exact_counter, reference_counter
from ratelimit.metrics import LimitStats
from ratelimit.service.planning import decision_rules, make_planner
from ratelimit.settings import load_settings


@pytest.mark.parametrize(
    ("environ", "counter"),
    [
        ({}, exact_counter),
        ({"COUNTER_KEY_FORMAT": "reference"}, reference_counter),
        ({"REDIS_TYPE": "CLUSTER", "REDIS_URL": "a:1,b:1"}, bucket_counter),
        ({"REDIS_TYPE": "CLUSTER", "REDIS_URL": "a:1,b:1", "BACKEND_TYPE": "memory"}, exact_counter),
    ],
)
def test_the_format_of_counters(environ: dict[str, str], counter: CounterFormat) -> None:
    """Buckets in a Cluster, the reference's format where it is asked for."""
    assert make_planner(load_settings(environ), lambda *_: LimitStats()).counter is counter


def test_settings_become_rules() -> None:
    """The prefix, the groups, months of the calendar, and how a request is decided."""
    settings = load_settings(
        {
            "CACHE_KEY_PREFIX": "p:",
            "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "true",
            "USE_CALENDAR_MONTH_RATE_LIMIT": "true",
            "QUOTA_MODE": "true",
            "NEAR_LIMIT_RATIO": "0.5",
        }
    )
    planner, rules = make_planner(settings, lambda *_: LimitStats()), decision_rules(settings)
    assert (planner.prefix, planner.calendar_months, planner.grouping.stop_when_over) == ("p:", True, True)
    assert (rules.quota_mode, rules.near_limit_ratio) == (True, 0.5)
