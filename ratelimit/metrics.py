"""Every metric, declared once.

The hot path adds to plain integers; they are read only when someone asks: as `name: value` lines under the reference's
names, by statsd, and by Prometheus through a collector. Series are bounded: beyond METRICS_SERIES_MAX limits the rest
share `__other__`, so unique values cannot grow memory.
"""

import bisect
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

OTHER = "__other__"
LIMIT_STATS = (
    "total_hits",
    "over_limit",
    "near_limit",
    "over_limit_with_local_cache",
    "within_limit",
    "shadow_mode",
    "total_negative_hits",
)
BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")


@dataclass(slots=True)
class LimitStats:
    """The counters of one limit, in hits."""

    total_hits: int = 0
    over_limit: int = 0
    near_limit: int = 0
    over_limit_with_local_cache: int = 0
    within_limit: int = 0
    shadow_mode: int = 0
    total_negative_hits: int = 0


@dataclass(slots=True)
class StoreStats:
    """The counter store's connection. `timeouts`, `unknown_outcomes` and `errors` count batches."""

    cx_active: int = 0
    cx_total: int = 0
    cx_local_close: int = 0
    batches: int = 0
    errors: int = 0
    timeouts: int = 0
    unknown_outcomes: int = 0
    poisoned: int = 0


@dataclass(slots=True)
class CallStats:
    """One gRPC method: calls, and their durations in buckets of BUCKETS_S and one above."""

    total_requests: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))

    def observe(self, seconds: float, calls: int = 1) -> None:
        """Count `calls` calls that took `seconds` each."""
        self.total_requests += calls
        self.seconds += seconds * calls
        self.buckets[bisect.bisect_left(BUCKETS_S, seconds)] += calls


class LocalCacheView(Protocol):
    """The over-limit cache as the metrics see it: look-ups, and how many entries it holds."""

    hits: int
    misses: int

    def __len__(self) -> int: ...


class Metrics(Collector):
    """All counters of one process."""

    def __init__(self, series_max: int = 10_000) -> None:
        self._series_max = series_max
        self.limits: dict[str, LimitStats] = {}
        self.domains_not_found: dict[str, int] = {}
        self.config_load_success = 0
        self.config_load_error = 0
        self.global_shadow_mode = 0
        self.redis_error = 0
        self.service_error = 0
        self.internal_error = 0
        self.deadline_exceeded = 0
        self.should_rate_limit = CallStats()
        self.store = StoreStats()
        self.local_cache: LocalCacheView | None = None

    def limit(self, stat_key: str, *, configured: bool = True) -> LimitStats:  # noqa: ARG002
        """The counters of one limit; beyond the bound those of `__other__`."""
        name = sanitise(stat_key)
        stats = self.limits.get(name)
        if stats is None:
            if len(self.limits) >= self._series_max:
                name = OTHER
            stats = self.limits.setdefault(name, LimitStats())
        return stats

    def domain_not_found(self, domain: str, descriptors: int) -> None:
        """Count the descriptors of a request for a domain that no file configures."""
        name = sanitise(domain)
        if name not in self.domains_not_found and len(self.domains_not_found) >= self._series_max:
            name = OTHER
        self.domains_not_found[name] = self.domains_not_found.get(name, 0) + descriptors

    def counters(self) -> Iterator[tuple[str, int]]:
        """Every counter under the reference's stat name."""
        for key, stats in self.limits.items():
            for stat in LIMIT_STATS:
                yield f"ratelimit.service.rate_limit.{key}.{stat}", getattr(stats, stat)
        for domain, count in self.domains_not_found.items():
            yield f"ratelimit.service.rate_limit.{domain}.domain_not_found", count
        for name in ("config_load_success", "config_load_error", "global_shadow_mode"):
            yield f"ratelimit.service.{name}", getattr(self, name)
        for name in ("redis_error", "service_error"):
            yield f"ratelimit.service.call.should_rate_limit.{name}", getattr(self, name)
        yield "ratelimit_server.ShouldRateLimit.total_requests", self.should_rate_limit.total_requests
        yield "ratelimit.redis_pool.cx_total", self.store.cx_total
        yield "ratelimit.redis_pool.cx_local_close", self.store.cx_local_close
        for name in ("batches", "errors", "timeouts", "unknown_outcomes"):
            yield f"ratelimit.store.{name}", getattr(self.store, name)

    def gauges(self) -> Iterator[tuple[str, int]]:
        """Every gauge under the reference's stat name."""
        yield "ratelimit.redis_pool.cx_active", self.store.cx_active
        cache = self.local_cache
        if cache is not None:
            yield "ratelimit.localcache.hitCount", cache.hits
            yield "ratelimit.localcache.missCount", cache.misses
            yield "ratelimit.localcache.entryCount", len(cache)

    def collect(self) -> Iterator[Metric]:
        """For prometheus-client: the reference's names, which end without `_total`."""
        yield from self._collect_limits()
        errors = _metric("ratelimit_service_should_rate_limit_error", "Calls that failed, by the kind of error.")
        for name in ("redis_error", "service_error"):
            errors.add_sample(errors.name, {"err_type": name}, getattr(self, name))
        yield errors
        requests = _metric("ratelimit_service_total_requests", "Calls.")
        requests.add_sample(requests.name, {"grpc_method": "ShouldRateLimit"}, self.should_rate_limit.total_requests)
        yield requests
        yield self._response_time()
        for name in ("config_load_success", "config_load_error", "global_shadow_mode"):
            yield _single(f"ratelimit_service_{name}", f"Stat {name}.", getattr(self, name))
        for name in ("batches", "errors", "timeouts", "unknown_outcomes"):
            yield _single(f"ratelimit_store_{name}", f"Batches sent to the store: {name}.", getattr(self.store, name))
        for name in ("cx_total", "cx_local_close"):
            yield _single(f"ratelimit_redis_pool_{name}", f"Store connections: {name}.", getattr(self.store, name))
        yield _single("ratelimit_redis_pool_cx_active", "Store connections open.", self.store.cx_active, "gauge")
        cache = self.local_cache
        if cache is not None:
            yield _single("ratelimit_localcache_hit_count", "Over-limit cache: keys found.", cache.hits, "gauge")
            yield _single("ratelimit_localcache_miss_count", "Over-limit cache: keys missed.", cache.misses, "gauge")
            yield _single("ratelimit_localcache_entry_count", "Over-limit cache: entries.", len(cache), "gauge")

    def _collect_limits(self) -> Iterator[Metric]:
        for stat in LIMIT_STATS:
            metric = _metric(f"ratelimit_service_rate_limit_{stat}", f"Hits: {stat}, by limit.")
            sums: dict[tuple[str, ...], int] = defaultdict(int)
            for key, stats in self.limits.items():
                sums[tuple(key.split(".")[:3])] += getattr(stats, stat)
            for parts, value in sums.items():
                labels = dict(zip(("domain", "key1", "key2"), (*parts, "", ""), strict=False))
                metric.add_sample(metric.name, labels, value)
            yield metric
        metric = _metric("ratelimit_service_rate_limit_domain_not_found", "Descriptors of domains not configured.")
        for domain, count in self.domains_not_found.items():
            metric.add_sample(metric.name, {"domain": domain}, count)
        yield metric

    def _response_time(self) -> Metric:
        stats, labels = self.should_rate_limit, {"grpc_method": "ShouldRateLimit"}
        metric = Metric("ratelimit_service_response_time_seconds", "Duration of calls in the service.", "histogram")
        below = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), stats.buckets, strict=True):
            below += count
            metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, below)
        metric.add_sample(f"{metric.name}_sum", labels, stats.seconds)
        metric.add_sample(f"{metric.name}_count", labels, below)
        return metric


def sanitise(name: str) -> str:
    """A stat name without what statsd gives a meaning: `:`, `|`, and the dots of an IPv4 address."""
    return _IPV4.sub(lambda found: found[0].replace(".", "_"), name.replace(":", "_").replace("|", "_"))


def _metric(name: str, help_text: str) -> Metric:
    # Untyped: prometheus-client would put `_total` behind the name of a counter, and the reference has none.
    return Metric(name, help_text, "unknown")


def _single(name: str, help_text: str, value: float, kind: str = "unknown") -> Metric:
    metric = Metric(name, help_text, kind)
    metric.add_sample(name, {}, value)
    return metric
