from ratelimit.metrics.counters import BUCKETS_S, CallStats, MemcacheStats


def test_one_duration_counts_for_all_calls_of_a_batch() -> None:
    """A batch has one duration: it is added once, for each of its calls."""
    stats = CallStats()
    stats.observe(0.002, calls=3)
    stats.observe(50.0)
    assert stats.total_requests == 4
    assert stats.calls[BUCKETS_S.index(0.0025)] == 3
    assert stats.calls[-1] == 1
    assert abs(sum(stats.seconds) - 50.006) < 1e-9


def test_a_bound_belongs_to_its_bucket() -> None:
    """Prometheus's `le` means less than or equal."""
    stats = CallStats()
    stats.observe(BUCKETS_S[0])
    assert stats.calls[0] == 1


def test_batches_of_memcached_are_told_by_their_keys() -> None:
    """One of which nothing came back is an error."""
    stats = MemcacheStats()
    stats.asked(2, 1, 1)
    stats.asked(0, 0, 3)
    stats.asked(0, 1, 0)
    assert (stats.keys_requested, stats.keys_found, stats.multigets, stats.multiget_errors) == (8, 2, 2, 1)
