"""All counters of one process."""

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from ratelimit.metrics import declared
from ratelimit.metrics.counters import (
    CallStats,
    GrpcStats,
    HttpStats,
    LimitStats,
    LocalCacheView,
    MemcacheStats,
    QuotaStats,
    StoreStats,
    WorkerStats,
)
from ratelimit.metrics.declared import LENGTH, LIMIT_STATS, Stat
from ratelimit.metrics.names import OTHER, stat_name
from ratelimit.metrics.series import LimitSeries
from ratelimit.metrics.shares import ShareSeries
from ratelimit.metrics.snapshot import Snapshot

# A C function that reads all counters of a series: a snapshot of 30,000 series must not hold the loop.
read_limit = attrgetter(*LIMIT_STATS)


class Metrics:
    """What the parts of the service add to. Only the event loop's thread may touch it."""

    def __init__(self, series_max: int = 10_000) -> None:
        self._series_max = series_max
        self.series = LimitSeries(series_max)
        self.shares = ShareSeries(series_max)
        self.domains_not_found: dict[str, int] = {}
        self.config_load_success = 0
        self.config_load_error = 0
        self.global_shadow_mode = 0
        self.redis_error = 0
        self.store_error_allowed = 0
        self.store_error_denied = 0
        self.service_error = 0
        self.internal_error = 0
        self.deadline_exceeded = 0
        self.should_rate_limit = CallStats()
        self.store = StoreStats()
        self.per_second_store: StoreStats | None = None
        self.http = HttpStats()
        self.grpc = GrpcStats()
        self.local_cache: LocalCacheView | None = None
        self.memcache: MemcacheStats | None = None
        self.quota: QuotaStats | None = None
        self.workers: WorkerStats | None = None
        # What other processes told of their singles (`add`).
        self._others: dict[str, int] = {}

    @property
    def limits(self) -> Mapping[str, LimitStats]:
        """The counters of every limit that was asked for, by stat name."""
        return self.series.all

    def limit(self, stat_key: str, *, configured: bool = True) -> LimitStats:
        """The counters of one limit, the same object for the same key.

        `configured` is False where the caller of the service chose a part of the name: METRICS_SERIES_MAX bounds those,
        and further ones share the counters of `__other__`.
        """
        name = stat_name(stat_key)
        return self.series.get_configured(name) if configured else self.series.get_dynamic(name)

    def configuration_loaded(self, limits: int) -> None:
        """A configuration with so many limits is in force: series of limits that it dropped may go from now on."""
        self.series.reloaded(limits)

    def domain_not_found(self, domain: str, descriptors: int) -> None:
        """Count the descriptors of a request for a domain that no file configures."""
        name = domain
        if name not in self.domains_not_found:
            name = stat_name(domain)
            if name not in self.domains_not_found and len(self.domains_not_found) >= self._series_max:
                name = OTHER
        self.domains_not_found[name] = self.domains_not_found.get(name, 0) + descriptors

    def snapshot(self) -> Snapshot:
        """Everything as it stands now, copied in one go: some 3 ms for 10,000 series."""
        return Snapshot(
            self.singles(),
            list(self.should_rate_limit.calls),
            list(self.should_rate_limit.seconds),
            _read(self.series.configured),
            _read(self.series.dynamic),
            dict(self.domains_not_found),
            {name: tuple(numbers) for name, numbers in self.shares.all.items()},
        )

    def add(self, increment: Snapshot) -> None:
        """Count what another process has counted, as if it had been counted here."""
        for name, number in increment.singles.items():
            self._others[name] = self._others.get(name, 0) + number
        calls = self.should_rate_limit
        for bucket, (number, seconds) in enumerate(zip(increment.calls, increment.seconds, strict=True)):
            calls.calls[bucket] += number
            calls.seconds[bucket] += seconds
        for get, series in (
            (self.series.get_configured, increment.configured),
            (self.series.get_dynamic, increment.dynamic),
        ):
            for name, numbers in series.items():
                _add_to(get(name), numbers)
        for domain, descriptors in increment.domains_not_found.items():
            self.domain_not_found(domain, descriptors)
        for name, differences in increment.shares.items():
            self.shares.add(name, differences)

    def singles(self) -> dict[str, int]:
        """Every number that is there once, by its name: this process's, and what others told."""
        singles = dict(self.own_singles())
        for name, number in self._others.items():
            singles[name] = singles.get(name, 0) + number
        singles.update(_numbers(declared.CALL, self.should_rate_limit))
        return singles

    def own_singles(self) -> Iterator[tuple[str, int]]:
        """What this process has counted itself and nothing else tells: not its calls, which have buckets."""
        yield from _numbers(declared.PROCESS, self)
        yield from _numbers(declared.STORE, self.store)
        if self.per_second_store is not None:
            yield from _numbers(declared.PER_SECOND_STORE, self.per_second_store)
        yield from _numbers(declared.HTTP, self.http)
        yield from _numbers(declared.GRPC, self.grpc)
        if self.quota is not None:
            yield from _numbers(declared.QUOTA, self.quota)
        if self.workers is not None:
            yield from _numbers(declared.WORKERS, self.workers)
        if self.local_cache is not None:
            yield from _numbers(declared.LOCAL_CACHE, self.local_cache)
        if self.memcache is not None:
            yield from _numbers(declared.MEMCACHE, self.memcache)


def _numbers(stats: tuple[Stat, ...], owner: Any) -> Iterator[tuple[str, int]]:
    for stat in stats:
        yield stat.name, len(owner) if stat.source == LENGTH else getattr(owner, stat.source)


def _add_to(stats: LimitStats, numbers: Sequence[int]) -> None:
    for source, number in zip(LIMIT_STATS, numbers, strict=True):
        if number:
            setattr(stats, source, getattr(stats, source) + number)


def _read(series: dict[str, LimitStats]) -> dict[str, tuple[int, ...]]:
    return dict(zip(series, map(read_limit, series.values()), strict=True))
