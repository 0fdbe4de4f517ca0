"""What the hot path adds to: plain integers, read only when somebody asks."""

import bisect
from dataclasses import dataclass, field
from typing import Protocol

BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


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
    """The counter store's connection, and what was sent on it.

    `batches`, `errors` and `timeouts` count commands, of which a batch is one or several; `poisoned` (failed alone,
    because of their key) and `unknown_outcomes` (counted or not, nobody knows) count hits. `breaker_open` tells of how
    many servers the breaker is open now, `breaker_opened` how often one opened. `redirected` counts commands that a
    node of a Cluster did not run since the slot is elsewhere, or on its way.
    """

    cx_active: int = 0
    cx_total: int = 0
    cx_local_close: int = 0
    batches: int = 0
    errors: int = 0
    timeouts: int = 0
    unknown_outcomes: int = 0
    poisoned: int = 0
    breaker_open: int = 0
    breaker_opened: int = 0
    redirected: int = 0


@dataclass(slots=True)
class MemcacheStats:
    """What was asked of memcached, as envoyproxy/ratelimit would have asked: look, then increment, then add.

    Ours is one command. A counter that was there is a key found and an increment; one that was not is a miss and an
    add. `multigets` and their errors count batches.
    """

    keys_requested: int = 0
    keys_found: int = 0
    multigets: int = 0
    multiget_errors: int = 0
    increments: int = 0
    increment_misses: int = 0
    increment_errors: int = 0
    adds: int = 0

    def asked(self, found: int, missed: int, failed: int) -> None:
        """Count a batch of keys."""
        self.keys_requested += found + missed + failed
        self.keys_found += found
        if found or missed:
            self.multigets += 1
        else:
            self.multiget_errors += 1


@dataclass(slots=True)
class HttpStats:
    """The HTTP listeners: connections open now, refused by the cap, and ended since they were silent for too long."""

    cx_active: int = 0
    cx_refused: int = 0
    cx_timeouts: int = 0


@dataclass(slots=True)
class GrpcStats:
    """The gRPC connections: open now, taken so far, refused by the cap or for their certificate, and ended by us.

    `cx_violations` broke HTTP/2, `cx_timeouts` were silent or did not read for too long. `calls_expired` are calls
    whose deadline passed while they were worked on.
    """

    cx_active: int = 0
    cx_total: int = 0
    cx_refused: int = 0
    cx_violations: int = 0
    cx_timeouts: int = 0
    calls_expired: int = 0


@dataclass(slots=True)
class QuotaStats:
    """The rate limit quota service. `rows` are buckets of Envoys that ledgers have now, `streams_active` their streams.

    Streams are refused by their bound, `streams_broken` ended for what they sent, `streams_stalled` of those since they
    did not read. Usages are reports of one bucket each: `usages_broken` had none, `usages_absurd` impossible numbers.
    `acks` are pushes that were acknowledged by PING, `ack_fallbacks` streams whose PINGs something else answers.
    """

    streams_active: int = 0
    rows: int = 0
    streams_total: int = 0
    streams_refused: int = 0
    streams_broken: int = 0
    streams_stalled: int = 0
    reports: int = 0
    usages: int = 0
    usages_broken: int = 0
    usages_absurd: int = 0
    throttled: int = 0
    unknown_domains: int = 0
    unknown_buckets: int = 0
    buckets_refused: int = 0
    pushes: int = 0
    acks: int = 0
    ack_fallbacks: int = 0


@dataclass(slots=True)
class WorkerStats:
    """The worker processes of a supervisor: how many take calls now, and how many ended by themselves so far."""

    alive: int = 0
    restarts: int = 0


@dataclass(slots=True)
class CallStats:
    """One gRPC method: calls and their seconds, by the bucket of BUCKETS_S that a call's duration falls in.

    Both lists have one bucket more for what is slower than the last bound. Seconds by bucket, and not only their sum,
    let statsd tell the mean of each bucket.
    """

    calls: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    seconds: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS_S) + 1))

    def observe(self, seconds: float, calls: int = 1) -> None:
        """Count `calls` calls that took `seconds` each."""
        bucket = bisect.bisect_left(BUCKETS_S, seconds)
        self.calls[bucket] += calls
        self.seconds[bucket] += seconds * calls

    @property
    def total_requests(self) -> int:
        """All calls so far."""
        return sum(self.calls)


class LocalCacheView(Protocol):
    """The over-limit cache as the metrics see it: look-ups, what became of entries, and how many it holds."""

    hits: int
    misses: int
    evictions: int
    expired: int
    overwrites: int

    @property
    def lookups(self) -> int: ...

    def __len__(self) -> int: ...
