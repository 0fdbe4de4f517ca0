import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.metrics import OTHER, Metrics, WorkerStats
from ratelimit.metrics.increments import SERIES_AT_ONCE, Heard, Increments
from ratelimit.metrics.snapshot import Snapshot

HITS = "ratelimit.localcache.hitCount"
ENTRIES = "ratelimit.localcache.entryCount"
OPEN = "ratelimit.redis_pool.cx_active"


class FakeCache:
    hits = 5
    misses = 6
    lookups = 11
    evictions = expired = overwrites = 0

    def __len__(self) -> int:
        return 7


def tell(increments: Increments, heard: Heard) -> None:
    """All that is new."""
    for piece in increments.pieces():
        heard.add(piece)


def count(metrics: Metrics, hits: int, *, name: str = "d.k", configured: bool = True) -> None:
    """What calls leave behind."""
    metrics.limit(name, configured=configured).total_hits += hits
    metrics.domain_not_found("x", hits)
    metrics.redis_error += hits
    metrics.store.cx_active = 1
    metrics.should_rate_limit.observe(0.002, hits)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.sampled_from(["a", "b"]), st.booleans())))
def test_what_several_told_is_what_all_of_them_counted(steps: list[tuple[int, int, str, bool]]) -> None:
    """Whatever is counted by whom, in whatever order, and whenever it is told."""
    workers, whole, alone = [Metrics() for _ in range(3)], Metrics(), Metrics()
    increments = [Increments(metrics) for metrics in workers]
    heard = [Heard(whole) for _ in workers]
    for number, hits, name, told in steps:
        count(workers[number], hits, name=name)
        count(alone, hits, name=name)
        if told:
            tell(increments[number], heard[number])
    for each, ear in zip(increments, heard, strict=True):
        tell(each, ear)
    found, wanted = whole.snapshot(), alone.snapshot()
    assert (found.configured, found.domains_not_found, found.calls) == (
        wanted.configured,
        wanted.domains_not_found,
        wanted.calls,
    )
    errors = "ratelimit.service.call.should_rate_limit.redis_error"
    requests = "ratelimit_server.ShouldRateLimit.total_requests"
    assert [found.singles[name] for name in (errors, requests)] == [wanted.singles[name] for name in (errors, requests)]
    assert abs(sum(found.seconds) - sum(wanted.seconds)) < 1e-9


def test_what_a_dead_process_counted_stays_and_what_it_had_open_goes() -> None:
    """No counter goes back; connections and entries of its cache are no more."""
    worker, whole = Metrics(), Metrics()
    worker.local_cache = FakeCache()
    count(worker, 3)
    heard = Heard(whole)
    tell(Increments(worker), heard)
    before = whole.snapshot()
    assert [before.singles[name] for name in (OPEN, HITS, ENTRIES)] == [1, 5, 7]
    heard.gone()
    after = whole.snapshot()
    assert [after.singles[name] for name in (OPEN, HITS, ENTRIES)] == [0, 5, 0]
    assert after.configured == before.configured == {"d.k": (3, 0, 0, 0, 0, 0, 0)}


def test_nothing_new_is_one_small_piece() -> None:
    """It is told all the same: a process that tells is alive."""
    metrics = Metrics()
    count(metrics, 1)
    increments = Increments(metrics)
    list(increments.pieces())
    assert [piece for piece in increments.pieces() if piece.singles or piece.configured or any(piece.calls)] == []
    assert next(increments.pieces()).singles == {}


def test_the_supervisor_adds_its_own_numbers() -> None:
    """Those of its pages, its loads and its workers beside what it was told."""
    worker, whole = Metrics(), Metrics()
    whole.workers = WorkerStats(alive=4, restarts=1)
    whole.http.cx_active = 2
    whole.config_load_success = 1
    tell(Increments(worker), Heard(whole))
    singles = whole.snapshot().singles
    names = ("ratelimit.workers.alive", "ratelimit.http.cx_active", "ratelimit.service.config_load_success")
    assert [singles[name] for name in names] == [4, 2, 1]


def test_a_series_that_one_knows_as_configured_is_configured() -> None:
    """One may plan a limit before another has loaded it; it is one series, with all hits."""
    one, two, whole = Metrics(), Metrics(), Metrics()
    count(one, 3, configured=False)
    count(two, 4)
    for worker in (one, two):
        tell(Increments(worker), Heard(whole))
    assert whole.snapshot().dynamic == {}
    assert whole.snapshot().configured["d.k"][0] == 7


def test_the_bound_holds_for_the_whole() -> None:
    """Three workers, each with names of its own up to METRICS_SERIES_MAX: the rest shares `__other__`."""
    whole = Metrics(series_max=2)
    for number in range(3):
        worker = Metrics(series_max=2)
        for name in range(2):
            worker.limit(f"{number}.{name}", configured=False).total_hits += 1
        tell(Increments(worker), Heard(whole))
    dynamic = whole.snapshot().dynamic
    assert {name: numbers[0] for name, numbers in dynamic.items()} == {"0.0": 1, "0.1": 1, OTHER: 4}


def test_a_series_that_was_dropped_and_came_back_is_another_one() -> None:
    """Its hits are new, however many they are; and what is gone is forgotten."""
    worker, whole = Metrics(series_max=1), Metrics()
    increments, heard = Increments(worker), Heard(whole)
    worker.limit("d.old").total_hits += 1
    tell(increments, heard)
    for number in range(20):
        worker.configuration_loaded(limits=1)
        worker.limit(f"d.{number}")
    assert "d.old" not in worker.limits
    tell(increments, heard)
    assert len(increments._limits) <= len(worker.limits)
    worker.limit("d.old").total_hits += 5
    tell(increments, heard)
    assert whole.snapshot().configured["d.old"][0] == 6


def test_many_series_come_in_small_pieces() -> None:
    """Each is a little work for the loop of whoever tells and of whoever hears."""
    metrics = Metrics(series_max=1000)
    for number in range(1000):
        metrics.limit(f"d.{number}").total_hits += 1
        metrics.domain_not_found(f"{number}", 1)
    pieces = list(Increments(metrics).pieces())
    assert len(pieces) == 1 + 2 * 1000 / SERIES_AT_ONCE
    assert max(len(piece.configured) + len(piece.domains_not_found) for piece in pieces) == SERIES_AT_ONCE


def test_an_increment_of_another_shape_is_refused() -> None:
    """Numbers are never added to others than their own."""
    with pytest.raises(ValueError, match="shorter"):
        Metrics().add(Snapshot(calls=(1,), seconds=()))
