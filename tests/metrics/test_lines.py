from ratelimit.metrics import Metrics
from ratelimit.metrics.lines import SORTED_AT_ONCE, stat_lines


def lines_of(metrics: Metrics) -> list[str]:
    """All lines."""
    return "".join(stat_lines(metrics.snapshot())).splitlines()


def test_stat_names_are_the_references() -> None:
    """Dashboards and alerts keep working."""
    metrics = Metrics()
    metrics.limit("d.k_v").total_hits += 3
    metrics.domain_not_found("x:y", 2)
    metrics.should_rate_limit.observe(0.002, 2)
    lines = lines_of(metrics)
    assert "ratelimit.service.rate_limit.d.k_v.total_hits: 3" in lines
    assert "ratelimit.service.rate_limit.d.k_v.shadow_mode: 0" in lines
    assert "ratelimit.service.rate_limit.x_y.domain_not_found: 2" in lines
    assert "ratelimit.service.config_load_success: 0" in lines
    assert "ratelimit.store.poisoned: 0" in lines
    assert "ratelimit_server.ShouldRateLimit.response_time: 2.0" in lines


def test_limits_stand_in_the_order_of_their_names() -> None:
    """Also when there are more than are sorted at once."""
    metrics = Metrics()
    for number in reversed(range(SORTED_AT_ONCE + 10)):
        metrics.limit(f"d.{number:05}").total_hits += 1
    shown = [line for line in lines_of(metrics) if ".total_hits:" in line]
    assert len(shown) == SORTED_AT_ONCE + 10
    assert shown == sorted(shown)


def test_a_name_with_braces_is_only_a_name() -> None:
    """Names are put into a pattern: what they hold is not read as one."""
    metrics = Metrics()
    metrics.limit("d.{0}{x}", configured=False).total_hits += 1
    assert lines_of(metrics)[-1] == "ratelimit.service.rate_limit.d.{0}{x}.total_hits: 1"
