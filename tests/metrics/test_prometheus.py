from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.metrics import Metrics
from ratelimit.metrics.prometheus import SAMPLES_AT_ONCE, exposition


def text_of(metrics: Metrics, **given: bool) -> str:
    """The whole exposition."""
    return b"".join(exposition(metrics.snapshot(), **given)).decode()


def test_names_and_labels_are_the_references() -> None:
    """Keys below the second level collapse and are summed."""
    metrics = Metrics()
    for key in ("d.a", "d.a.b.c", "d.a.b.x"):
        metrics.limit(key).total_hits += 1
    metrics.should_rate_limit.observe(0.002)
    text = text_of(metrics)
    assert 'ratelimit_service_rate_limit_total_hits{domain="d",key1="a",key2="b"} 2.0' in text
    assert 'ratelimit_service_rate_limit_total_hits{domain="d",key1="a"} 1.0' in text
    assert 'ratelimit_service_total_requests{grpc_method="ShouldRateLimit"} 1.0' in text
    assert 'ratelimit_service_response_time_seconds_bucket{grpc_method="ShouldRateLimit",le="0.0025"} 1.0' in text
    assert 'ratelimit_service_should_rate_limit_error{err_type="redis_error"} 0.0' in text
    assert 'ratelimit_service_should_rate_limit_error{err_type="deadline_exceeded"} 0.0' in text


def test_a_family_in_many_pieces_is_one_family() -> None:
    """HELP and TYPE stand once, and no sample is lost or doubled."""
    metrics = Metrics()
    for number in range(3 * SAMPLES_AT_ONCE + 1):
        metrics.limit(f"d.k_{number}").total_hits += 1
    families = list(text_string_to_metric_families(text_of(metrics)))
    assert max(Counter(family.name for family in families).values()) == 1
    hits = next(family for family in families if family.name == "ratelimit_service_rate_limit_total_hits")
    assert len({sample.labels["key1"] for sample in hits.samples}) == 3 * SAMPLES_AT_ONCE + 1


def test_zeros_are_left_out_only_where_a_caller_chose_the_name() -> None:
    """A configured limit shows that nothing came; a thousand one-time names do not show six zeros each."""
    metrics = Metrics()
    metrics.limit("d.mine")
    metrics.limit("d.theirs", configured=False).total_hits += 1
    text = text_of(metrics)
    assert 'over_limit{domain="d",key1="mine"} 0.0' in text
    assert 'total_hits{domain="d",key1="theirs"} 1.0' in text
    assert 'over_limit{domain="d",key1="theirs"}' not in text


def test_a_configured_and_a_dynamic_series_of_one_group_are_one_sample() -> None:
    """Below the second level they collapse into the same labels, which must not stand twice."""
    metrics = Metrics()
    metrics.limit("d.a.b.c").total_hits += 1
    metrics.limit("d.a.b.x", configured=False).total_hits += 2
    assert text_of(metrics).count('rate_limit_total_hits{domain="d",key1="a",key2="b"}') == 1
    assert 'rate_limit_total_hits{domain="d",key1="a",key2="b"} 3.0' in text_of(metrics)


def test_labels_are_escaped() -> None:
    """A quote, a backslash and a line end in a name do not break the text."""
    metrics = Metrics()
    metrics.domain_not_found('a"b\\c\nd', 1)
    families = {family.name: family for family in text_string_to_metric_families(text_of(metrics))}
    samples = families["ratelimit_service_rate_limit_domain_not_found"].samples
    assert samples[0].labels["domain"] == 'a"b\\c_d'


def test_the_local_cache_is_shown_where_there_is_one() -> None:
    """As gauges, as the reference has them."""
    metrics = Metrics()
    assert "ratelimit_localcache" not in text_of(metrics)
    metrics.local_cache = OverLimitCache(100)
    text = text_of(metrics)
    for name in ("lookup", "hit", "miss", "entry", "evacuate", "expired", "overwrite"):
        assert f"# TYPE ratelimit_localcache_{name}Count gauge" in text


def test_counters_are_counters_under_the_references_names() -> None:
    """Without `_total`, which a client library would put behind them; a HELP text cannot be taken for the type."""
    metrics = Metrics()
    metrics.limit("d.k").total_hits = 2
    text = text_of(metrics)
    assert "# TYPE ratelimit_service_rate_limit_total_hits counter\n" in text
    assert "untyped" not in text
    assert text.count("# TYPE ratelimit_redis_pool_cx_total counter\n") == 1
    assert "# TYPE ratelimit_redis_pool_cx_active gauge\n" in text


def test_the_response_time_has_the_references_buckets_among_its_own() -> None:
    """In seconds, their bounds as Go writes them; in milliseconds under the same name where that is asked for."""
    metrics = Metrics()
    metrics.should_rate_limit.observe(0.002, calls=3)
    name = "ratelimit_service_response_time_seconds"
    text = text_of(metrics)
    for bound in ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"):
        assert f'{name}_bucket{{grpc_method="ShouldRateLimit",le="{bound}"}} 3.0' in text
    assert f'{name}_sum{{grpc_method="ShouldRateLimit"}} 0.006' in text
    text = text_of(metrics, response_time_in_ms=True)
    assert f'{name}_bucket{{grpc_method="ShouldRateLimit",le="1"}} 0.0' in text
    assert f'{name}_bucket{{grpc_method="ShouldRateLimit",le="2.5"}} 3.0' in text
    assert f'{name}_sum{{grpc_method="ShouldRateLimit"}} 6.0' in text
