"""What the settings make of plans: how counters are written, and how requests are decided."""

from collections.abc import Callable

from ratelimit.limiter.counter_key import bucket_counter, exact_counter, reference_counter
from ratelimit.limiter.plan import DecisionRules, LimitStats
from ratelimit.limiter.planner import Grouping, Planner
from ratelimit.settings import Settings


def make_planner(settings: Settings, stats_of: Callable[[str, bool], LimitStats]) -> Planner:
    """The planner of a process; `stats_of` as `Planner` has it."""
    limits = settings.limiter
    exact = bucket_counter if limits.backend_type == "redis" and settings.redis.in_cluster else exact_counter
    return Planner(
        exact if limits.counter_key_format == "exact" else reference_counter,
        stats_of,
        limits.cache_key_prefix,
        calendar_months=limits.use_calendar_month_rate_limit,
        grouping=Grouping(limits.stop_cache_key_increment_when_overlimit, settings.redis.redis_persecond),
    )


def decision_rules(settings: Settings) -> DecisionRules:
    """What the settings say of every decision."""
    return DecisionRules(settings.limiter.near_limit_ratio, settings.response.quota_mode)
