from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from ratelimit.metrics import OTHER, Metrics, sanitise


def test_stat_names_are_the_references() -> None:
    """Dashboards and alerts keep working."""
    metrics = Metrics()
    metrics.limit("d.k_v").total_hits += 3
    metrics.domain_not_found("x:y", 2)
    stats = dict(metrics.counters())
    assert stats["ratelimit.service.rate_limit.d.k_v.total_hits"] == 3
    assert stats["ratelimit.service.rate_limit.x_y.domain_not_found"] == 2
    assert stats["ratelimit.service.config_load_success"] == 0


def test_series_are_bounded() -> None:
    """Unique values cannot grow memory: the rest share one name, and no hit is lost."""
    metrics = Metrics(series_max=2)
    for number in range(10):
        metrics.limit(f"d.k_{number}").total_hits += 1
        metrics.domain_not_found(f"d{number}", 1)
    assert list(metrics.limits) == ["d.k_0", "d.k_1", OTHER]
    assert metrics.limits[OTHER].total_hits == 8
    assert metrics.domains_not_found == {"d0": 1, "d1": 1, OTHER: 8}


def test_names_are_safe_for_statsd() -> None:
    """Colons, bars and the dots of an address become underscores."""
    assert sanitise("d.a:b|c_10.0.0.1") == "d.a_b_c_10_0_0_1"


def test_prometheus_has_the_references_names_and_labels() -> None:
    """Keys below the second level collapse and are summed."""
    metrics = Metrics()
    for key in ("d.a", "d.a.b.c", "d.a.b.x"):
        metrics.limit(key).total_hits += 1
    metrics.should_rate_limit.observe(0.002)
    registry = CollectorRegistry()
    registry.register(metrics)
    text = generate_latest(registry).decode()
    assert 'ratelimit_service_rate_limit_total_hits{domain="d",key1="a",key2="b"} 2.0' in text
    assert 'ratelimit_service_rate_limit_total_hits{domain="d",key1="a",key2=""} 1.0' in text
    assert 'ratelimit_service_total_requests{grpc_method="ShouldRateLimit"} 1.0' in text
    assert 'ratelimit_service_response_time_seconds_bucket{grpc_method="ShouldRateLimit",le="0.0025"} 1.0' in text
    assert 'ratelimit_service_should_rate_limit_error{err_type="redis_error"} 0.0' in text


def test_the_local_cache_is_shown_where_there_is_one() -> None:
    """Its gauges appear with LOCAL_CACHE_SIZE_IN_BYTES."""
    from ratelimit.limiter.over_limit_cache import OverLimitCache

    metrics = Metrics()
    assert "ratelimit.localcache.hitCount" not in dict(metrics.gauges())
    metrics.local_cache = OverLimitCache(100)
    assert dict(metrics.gauges())["ratelimit.localcache.missCount"] == 0
    assert "ratelimit_localcache_entry_count" in {metric.name for metric in metrics.collect()}
