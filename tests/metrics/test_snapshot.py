import dataclasses
import json
import pickle

from ratelimit.metrics import Metrics, merge


def process(hits: int, loads: int, *, configured: bool = True) -> Metrics:
    """One of several processes."""
    metrics = Metrics()
    metrics.limit("d.k", configured=configured).total_hits += hits
    metrics.domain_not_found("x", hits)
    metrics.config_load_success = loads
    metrics.store.cx_active = 1
    metrics.should_rate_limit.observe(0.002, hits)
    return metrics


def test_several_processes_become_one() -> None:
    """Hits and connections add up; all load the same files, so loads do not."""
    merged = merge([process(3, 2).snapshot(), process(4, 1).snapshot()])
    assert merged.configured["d.k"][0] == 7
    assert merged.domains_not_found == {"x": 7}
    assert merged.singles["ratelimit.redis_pool.cx_active"] == 2
    assert merged.singles["ratelimit.service.config_load_success"] == 2
    assert merged.singles["ratelimit_server.ShouldRateLimit.total_requests"] == 7
    assert sum(merged.calls) == 7
    assert abs(sum(merged.seconds) - 0.014) < 1e-9


def test_a_series_that_one_process_knows_as_configured_is_configured() -> None:
    """One may plan a limit before another has loaded it; it is one series, with all hits."""
    merged = merge([process(3, 1, configured=False).snapshot(), process(4, 1).snapshot()])
    assert merged.dynamic == {}
    assert merged.configured["d.k"][0] == 7


def test_what_only_one_process_has_is_kept() -> None:
    """The over-limit cache may be off in one of them."""
    with_cache, without = process(1, 1), process(1, 1)
    with_cache.local_cache = FakeCache()
    merged = merge([without.snapshot(), with_cache.snapshot()])
    assert merged.singles["ratelimit.localcache.hitCount"] == 5


def test_a_merge_of_one_changes_nothing_and_shares_nothing() -> None:
    """Merging must not write into what it was given."""
    snapshot = process(1, 1).snapshot()
    merged = merge([snapshot, process(1, 1).snapshot()])
    assert merged != snapshot
    assert merge([snapshot]) == snapshot
    assert snapshot.configured["d.k"][0] == 1


def test_it_is_a_plain_value() -> None:
    """It can go to another process as it is, and to anybody as JSON."""
    snapshot = process(3, 2).snapshot()
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert json.loads(json.dumps(dataclasses.asdict(snapshot)))["configured"]["d.k"][0] == 3


class FakeCache:
    hits = 5
    misses = 6

    def __len__(self) -> int:
        return 7
