"""Every stat, declared once: a row here is all that Prometheus, statsd and /stats need to know of it.

To add one: an integer that the code adds to (counters.py, or Metrics itself), and its row in the table of its owner.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a number is."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Merge(Enum):
    """How the numbers of several processes become one: all are added up, with or without those that have ended."""

    SUM = "sum"
    LIVING = "living"


@dataclass(frozen=True, slots=True)
class Stat:
    """One stat: where it is counted, and how it is shown.

    `source` is the attribute of the row's owner, `len()` its length. `name` is the stat as the reference names it; in
    the tables of series `{}` stands for the series. `prometheus` has no `_total` added, since the
    reference's names have none.
    """

    source: str
    name: str
    prometheus: str
    help: str
    labels: Mapping[str, str] = field(default_factory=dict)
    kind: Kind = Kind.COUNTER
    merge: Merge = Merge.SUM


LENGTH = "len()"
_METHOD = {"grpc_method": "ShouldRateLimit"}


def _error(source: str) -> Stat:
    return Stat(
        source,
        f"ratelimit.service.call.should_rate_limit.{source}",
        "ratelimit_service_should_rate_limit_error",
        "Calls that failed, by the kind of error.",
        {"err_type": source},
    )


def _of_workers(group: str, source: str, help_text: str, kind: Kind) -> Stat:
    """One that each worker has of its own: what is a gauge goes with the worker."""
    merge = Merge.LIVING if kind is Kind.GAUGE else Merge.SUM
    return Stat(source, f"ratelimit.{group}.{source}", f"ratelimit_{group}_{source}", help_text, kind=kind, merge=merge)


def _store_stats(store: str, pool: str, of: str) -> tuple[Stat, ...]:
    """The attributes of StoreStats: `store` and `pool` are the first words of the names, `of` says which store."""

    def stat(source: str, help_text: str, kind: Kind = Kind.COUNTER, group: str = store) -> Stat:
        return _of_workers(group, source, f"{of}: {help_text}", kind)

    return (
        stat("batches", "commands sent, one for a batch, or several for a large one."),
        stat("errors", "commands that failed, and batches that could not be sent."),
        stat("timeouts", "commands that were not answered in time."),
        stat("unknown_outcomes", "hits that were sent and never answered, counted or not, nobody knows."),
        stat("poisoned", "hits that failed alone, because of their key."),
        stat("breaker_open", "servers whose breaker is open now.", Kind.GAUGE),
        stat("breaker_opened", "how often the breaker of a server opened."),
        stat("redirected", "commands that another node of the Cluster was to run."),
        stat("cx_total", "connections opened.", group=pool),
        stat("cx_local_close", "connections closed by us.", group=pool),
        stat("cx_active", "connections open.", Kind.GAUGE, group=pool),
    )


def _http(source: str, help_text: str, kind: Kind = Kind.COUNTER) -> Stat:
    return Stat(source, f"ratelimit.http.{source}", f"ratelimit_http_{source}", help_text, kind=kind)


def _grpc(source: str, help_text: str, kind: Kind = Kind.COUNTER) -> Stat:
    return _of_workers("grpc", source, help_text, kind)


def _quota(source: str, help_text: str, kind: Kind = Kind.COUNTER) -> Stat:
    return _of_workers("quota", source, help_text, kind)


def _service(source: str, help_text: str) -> Stat:
    return Stat(source, f"ratelimit.service.{source}", f"ratelimit_service_{source}", help_text)


def _workers(source: str, help_text: str, kind: Kind = Kind.COUNTER) -> Stat:
    return Stat(source, f"ratelimit.workers.{source}", f"ratelimit_workers_{source}", help_text, kind=kind)


def _cache(source: str, stat: str, help_text: str) -> Stat:
    # Gauges, although most of them only grow: the reference sends them so.
    name = f"ratelimit_localcache_{stat}"
    merge = Merge.LIVING if source == LENGTH else Merge.SUM
    return Stat(source, f"ratelimit.localcache.{stat}", name, help_text, kind=Kind.GAUGE, merge=merge)


def _memcache(source: str, stat: str, help_text: str) -> Stat:
    """`stat` may end with a tag, as the reference writes it into a name: `.__code=success`."""
    name = f"ratelimit.memcache.{stat}"
    return Stat(source, name, name.replace(".", "_").replace("=", "_"), help_text)


def _limit(source: str) -> Stat:
    name = f"ratelimit_service_rate_limit_{source}"
    return Stat(source, f"ratelimit.service.rate_limit.{{}}.{source}", name, f"Hits: {source}, by limit.")


def _share(source: str, help_text: str) -> Stat:
    name, prometheus = f"ratelimit.quota.limit.{{}}.{source}", f"ratelimit_quota_limit_{source}"
    help_text = f"A limit that is divided: {help_text}"
    return Stat(source, name, prometheus, help_text, kind=Kind.GAUGE, merge=Merge.LIVING)


# Attributes of Metrics.
PROCESS = (
    _error("redis_error"),
    _error("service_error"),
    _error("internal_error"),
    _error("deadline_exceeded"),
    _service("config_load_success", "Configurations loaded."),
    _service("config_load_error", "Configurations that could not be loaded."),
    _service("store_error_allowed", "Calls answered OK without being counted: on_store_error."),
    _service("store_error_denied", "Calls answered OVER_LIMIT without being counted: on_store_error."),
    _service("global_shadow_mode", "Calls that SHADOW_MODE let pass."),
)
# Attributes of StoreStats.
STORE = _store_stats("store", "redis_pool", "The store")
# The same of the store for limits per second; absent where REDIS_PERSECOND is false.
PER_SECOND_STORE = _store_stats("store_per_second", "redis_per_second_pool", "The store of limits per second")
# Attributes of HttpStats.
HTTP = (
    _http("cx_active", "HTTP connections open.", Kind.GAUGE),
    _http("cx_refused", "HTTP connections refused, since HTTP_CONNECTIONS_MAX were open."),
    _http("cx_timeouts", "HTTP connections ended, since no request came within HTTP_HEADER_TIMEOUT."),
)
# Attributes of GrpcStats; only the native transport counts them.
GRPC = (
    _grpc("cx_active", "gRPC connections open.", Kind.GAUGE),
    _grpc("cx_total", "gRPC connections taken."),
    _grpc("cx_refused", "gRPC connections refused, since GRPC_MAX_CONNECTIONS were open or for their certificate."),
    _grpc("cx_violations", "gRPC connections ended with GOAWAY, since the client broke HTTP/2 or flooded us."),
    _grpc("cx_timeouts", "gRPC connections cut, since the client was silent or did not read for too long."),
    _grpc("calls_expired", "gRPC calls whose deadline passed while they were worked on."),
)
# Attributes of QuotaStats; absent where the quota service is not served.
QUOTA = (
    _quota("streams_active", "Streams of Envoys open.", Kind.GAUGE),
    _quota("rows", "Buckets of Envoys that ledgers have, each bucket of each Envoy one.", Kind.GAUGE),
    _quota("streams_total", "Streams of Envoys taken."),
    _quota("streams_refused", "Streams of Envoys refused, since RLQS_STREAMS_MAX were open."),
    _quota("streams_broken", "Streams of Envoys ended, for what they sent or did not read."),
    _quota("streams_stalled", "Streams of Envoys ended, since what they were told was not read."),
    _quota("reports", "Reports of Envoys."),
    _quota("usages", "Reports of single buckets in them."),
    _quota("usages_broken", "Reports of single buckets left out, since they name none."),
    _quota("usages_absurd", "Reports of single buckets with numbers that no Envoy can mean."),
    _quota("throttled", "How often a stream was read more slowly, beyond RLQS_USAGES_PER_SECOND."),
    _quota("unknown_domains", "Buckets of domains not configured."),
    _quota("unknown_buckets", "Buckets that reach no limit."),
    _quota("buckets_refused", "Buckets not divided, since their domain has too many."),
    _quota("pushes", "What buckets of Envoys were told."),
    _quota("acks", "Pushes that were acknowledged by the answer to a PING."),
    _quota("ack_fallbacks", "Streams that are acknowledged by reports, since a proxy answers their PINGs."),
)
# Attributes of WorkerStats; absent where one process does everything.
WORKERS = (
    _workers("alive", "Worker processes that take calls.", Kind.GAUGE),
    _workers("restarts", "Worker processes that ended by themselves and were started again."),
)
# Attributes of LocalCacheView; absent where LOCAL_CACHE_SIZE_IN_BYTES is 0.
LOCAL_CACHE = (
    _cache("lookups", "lookupCount", "Over-limit cache: keys looked up."),
    _cache("hits", "hitCount", "Over-limit cache: keys found."),
    _cache("misses", "missCount", "Over-limit cache: keys missed."),
    _cache(LENGTH, "entryCount", "Over-limit cache: entries."),
    _cache("evictions", "evacuateCount", "Over-limit cache: entries that made room for others."),
    _cache("expired", "expiredCount", "Over-limit cache: entries found after their window had ended."),
    _cache("overwrites", "overwriteCount", "Over-limit cache: entries told again."),
)
# Attributes of MemcacheStats; absent where BACKEND_TYPE is not memcache.
MEMCACHE = (
    _memcache("keys_requested", "keys_requested", "memcached: keys asked for."),
    _memcache("keys_found", "keys_found", "memcached: keys that were there."),
    _memcache("multigets", "multiget.__code=success", "memcached: batches that were answered."),
    _memcache("multiget_errors", "multiget.__code=error", "memcached: batches that failed."),
    _memcache("increments", "increment.__code=success", "memcached: hits on counters that were there."),
    _memcache("increment_misses", "increment.__code=miss", "memcached: hits on counters that were not."),
    _memcache("increment_errors", "increment.__code=error", "memcached: hits that were not counted."),
    _memcache("adds", "add.__code=success", "memcached: counters created."),
)
# Attributes of CallStats.
CALL = (
    Stat(
        "total_requests",
        "ratelimit_server.ShouldRateLimit.total_requests",
        "ratelimit_service_total_requests",
        "Calls.",
        _METHOD,
    ),
)
RESPONSE_TIME = Stat(
    "calls",
    "ratelimit_server.ShouldRateLimit.response_time",
    "ratelimit_service_response_time_seconds",
    "Duration of calls in the service.",
    _METHOD,
    Kind.HISTOGRAM,
)
# Attributes of LimitStats: one number for each series.
LIMIT = (
    _limit("total_hits"),
    _limit("over_limit"),
    _limit("near_limit"),
    _limit("over_limit_with_local_cache"),
    _limit("within_limit"),
    _limit("shadow_mode"),
    _limit("total_negative_hits"),
)
# What a limit that is divided comes to, one number for each series; rates are requests per minute.
SHARE = (
    _share("assigned_per_minute", "what its Envoys were told last."),
    _share("held_per_minute", "what may be in force at them."),
    _share("wanted_per_minute", "what they seem to want."),
    _share("refused_per_minute", "what they refused lately."),
    _share("overshoot_tokens", "what may pass beyond the limit in 10 s."),
    _share("envoys", "its Envoys."),
    _share("envoys_silent", "those of them that may not be there any more."),
)
DOMAIN_NOT_FOUND = Stat(
    "domains_not_found",
    "ratelimit.service.rate_limit.{}.domain_not_found",
    "ratelimit_service_rate_limit_domain_not_found",
    "Descriptors of domains not configured.",
)
SINGLES = (*PROCESS, *STORE, *PER_SECOND_STORE, *HTTP, *GRPC, *QUOTA, *WORKERS, *LOCAL_CACHE, *MEMCACHE, *CALL)
LIMIT_STATS = tuple(stat.source for stat in LIMIT)
