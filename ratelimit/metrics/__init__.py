"""Every metric: plain integers on the loop, a snapshot of them, and its readers.

counters, series   what the hot path adds to; process.Metrics holds them all
declared           the tables: each stat once, with its names, kind and rule to merge
snapshot           plain values of one moment
increments         what one process tells another, so that several are one scrape
prometheus, lines  two readers; the third, statsd, is a file of its own
mapper, mapped     a mapping file of statsd_exporter, and Prometheus with it
"""

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
from ratelimit.metrics.declared import LIMIT_STATS
from ratelimit.metrics.names import OTHER, name_with_tags, sanitise, split_tags, tags_suffix
from ratelimit.metrics.process import Metrics
from ratelimit.metrics.snapshot import Snapshot

__all__ = [
    "LIMIT_STATS",
    "OTHER",
    "CallStats",
    "GrpcStats",
    "HttpStats",
    "LimitStats",
    "LocalCacheView",
    "MemcacheStats",
    "Metrics",
    "QuotaStats",
    "Snapshot",
    "StoreStats",
    "WorkerStats",
    "name_with_tags",
    "sanitise",
    "split_tags",
    "tags_suffix",
]
