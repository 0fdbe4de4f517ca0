from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.metrics import LIMIT_STATS, OTHER, Metrics


def test_a_snapshot_stands_still() -> None:
    """What is counted afterwards belongs to the next one."""
    metrics = Metrics()
    stats = metrics.limit("d.k_v")
    stats.total_hits += 3
    snapshot = metrics.snapshot()
    stats.total_hits += 1
    metrics.redis_error += 1
    assert snapshot.configured == {"d.k_v": (3, 0, 0, 0, 0, 0, 0)}
    assert snapshot.singles["ratelimit.service.call.should_rate_limit.redis_error"] == 0


def test_one_key_has_one_object() -> None:
    """Whoever holds it may add to it without asking again."""
    metrics = Metrics()
    assert metrics.limit("d.a:b") is metrics.limit("d.a|b", configured=False) is metrics.limits["d.a_b"]
    assert set(LIMIT_STATS) == set(type(metrics.limit("d")).__slots__)


def test_unknown_domains_are_bounded() -> None:
    """Their names come from callers too."""
    metrics = Metrics(series_max=2)
    for number in range(10):
        metrics.domain_not_found(f"d{number}", 1)
    assert metrics.domains_not_found == {"d0": 1, "d1": 1, OTHER: 8}


def test_a_reload_lets_dropped_limits_go() -> None:
    """`configuration_loaded` says how many limits there are; others are left over."""
    metrics = Metrics(series_max=1)
    for number in range(20):
        metrics.configuration_loaded(limits=1)
        metrics.limit(f"d.{number}")
    assert len(metrics.limits) <= 4


def test_the_local_cache_is_counted_where_there_is_one() -> None:
    """Its stats appear with LOCAL_CACHE_SIZE_IN_BYTES."""
    metrics = Metrics()
    assert "ratelimit.localcache.hitCount" not in metrics.snapshot().singles
    metrics.local_cache = OverLimitCache(100)
    assert metrics.snapshot().singles["ratelimit.localcache.entryCount"] == 0
