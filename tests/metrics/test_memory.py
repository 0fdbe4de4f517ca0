import gc
import os
from collections.abc import Callable, Iterable

import psutil

from ratelimit.dogstatsd import tagged
from ratelimit.metrics import Metrics
from ratelimit.metrics.increments import Increments
from ratelimit.metrics.mapped import MappedExposition
from ratelimit.metrics.mapper import read_mapper
from ratelimit.metrics.prometheus import exposition
from ratelimit.statsd import Differences, note

SERIES_MAX = 1_000
VALUES = int(os.environ.get("RATELIMIT_UNIQUE_VALUES", "200_000"))
MAPPING = "mappings: [{match: ratelimit.service.rate_limit.*.*.total_hits, name: hits, labels: {key: $2}}]"


def test_unique_values_take_no_memory() -> None:
    """In no counter and in nothing that reads them: every name beyond the bound is `__other__`."""
    metrics = Metrics(SERIES_MAX)
    increments, differences = Increments(metrics), Differences(tagged((), (), ()))
    mapped = MappedExposition(read_mapper(MAPPING), "")

    def told() -> None:
        snapshot = metrics.snapshot()
        note(list(differences.lines(snapshot)))
        readers: tuple[Callable[[], Iterable[object]], ...] = (
            increments.pieces, lambda: mapped(snapshot), lambda: exposition(snapshot),
        )  # fmt: skip
        for read in readers:
            assert list(read())

    def count(first: int, last: int) -> int:
        for number in range(first, last):
            metrics.limit(f"d.user_{number}", configured=False).total_hits += 1
            if number % 10 == 0:
                metrics.domain_not_found(f"domain-{number}", 1)
        told()
        gc.collect()
        return int(psutil.Process().memory_info().rss)

    before = count(0, 50_000)
    step = (VALUES - 50_000) // 3
    after = max(count(first, first + step) for first in range(50_000, VALUES, step))
    assert len(metrics.limits) == len(metrics.domains_not_found) == SERIES_MAX + 1
    assert sum(stats.total_hits for stats in metrics.limits.values()) == VALUES
    assert after - before < 8 * 1024 * 1024
