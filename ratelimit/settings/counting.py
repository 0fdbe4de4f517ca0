"""How hits are counted, whatever the store, and memcached."""

import re
import ssl
from typing import Annotated, Literal

from pydantic import BeforeValidator

from ratelimit.settings.addresses import host_and_port
from ratelimit.settings.go_values import Boolean, Duration, Integer, SmallNumber
from ratelimit.settings.group import INT32_MAX, Group, Lower, Positive, at_least, read_as, setting
from ratelimit.settings.pem_files import client_context

SRV_NAME = re.compile(r"_[A-Za-z0-9-]+\._[A-Za-z0-9-]+\.[A-Za-z0-9._-]+")
# The reference's cache is never smaller.
LOCAL_CACHE_BYTES_MIN = 512 * 1024


def _ratio(value: float) -> tuple[float, str] | None:
    if 0 <= value <= 1:
        return None
    return (1.0, "no hit within a limit is near it") if value > 1 else (0.0, "every hit is near its limit")


def _jitter(value: int) -> tuple[int, str] | None:
    return (INT32_MAX, f"the longest is {INT32_MAX}s") if value > INT32_MAX else None


def _cache(value: int) -> tuple[int, str] | None:
    return (LOCAL_CACHE_BYTES_MIN, "a negative size is the smallest there is, 512 KiB") if value < 0 else None


Ratio = Annotated[SmallNumber, read_as(_ratio)]
Jitter = Annotated[Integer, at_least(0), read_as(_jitter)]
CacheBytes = Annotated[Integer, read_as(_cache)]
Backend = Annotated[Literal["redis", "memory", "memcache"], BeforeValidator(lambda value: value or "redis")]


class LimiterSettings(Group):
    """How hits are counted."""

    backend_type: Backend = setting("redis", "`redis` (or empty), `memcache`, or `memory` for one process")
    near_limit_ratio: Ratio = setting(0.8, "from this part of a limit on, hits count as near_limit; 0 to 1")
    local_cache_size_in_bytes: CacheBytes = setting(0, "bytes, size of the over-limit cache; 0 is off")
    expiration_jitter_max_seconds: Jitter = setting(
        300, "seconds, up to so many added at random to the expiry of counters; below 0 none"
    )
    cache_key_prefix: str = setting("", "before every counter key")
    counter_key_format: Literal["exact", "reference"] = setting(
        "exact", "`exact`, or `reference` to share counters with envoyproxy/ratelimit during a migration", ours=True
    )
    store_clock: Annotated[Literal["local", "redis"], Lower] = setting(
        "local",
        (
            "whose clock windows follow: `local`, or `redis`, asked for once a second, so that instances "
            "whose clocks differ agree; needs `BACKEND_TYPE=redis`"
        ),
        ours=True,
    )
    use_calendar_month_rate_limit: Boolean = setting(
        False,
        ("limits per month count months of the calendar, in UTC, not 30 days; their counters are others than before"),
    )
    pending_hits_max: Positive = setting(
        100000, "hits that may wait for the store; more are UNAVAILABLE at once", ours=True
    )
    memory_store_bytes_max: Positive = setting(
        20 * 1024 * 1024,
        (
            "what the counters of `BACKEND_TYPE=memory` may hold; a full store refuses new counters "
            "(UNAVAILABLE) and keeps the old"
        ),
        ours=True,
    )
    stop_cache_key_increment_when_overlimit: Boolean = setting(
        False,
        (
            "once a limit of a request is over, only such limits are charged, in one step; all counters of a "
            "domain then have one hash tag"
        ),
    )


class MemcacheSettings(Group):
    """The counter store with BACKEND_TYPE=memcache."""

    memcache_host_port: str = setting(
        "",
        (
            "`host:port,host:port,…`, or paths of sockets; a key belongs to the server at its CRC-32 modulo their "
            "number, so every instance wants the same list in the same order"
        ),
    )
    memcache_srv: str = setting(
        "",
        (
            "`_service._protocol.name` instead: its SRV records, by priority, weight and name; exactly one of "
            "the two is wanted"
        ),
    )
    memcache_srv_refresh: Annotated[Duration, at_least(0)] = setting(0.0, "how often it is resolved again; 0 never")
    memcache_max_idle_conns: Integer = setting(
        2,
        "",
        no_effect="one multiplexed connection per server serves",
    )

    memcache_tls: Boolean = setting(False, "TLS to the servers")
    memcache_tls_client_cert: str = setting("", "client certificate (PEM)")
    memcache_tls_client_key: str = setting("", "its key")
    memcache_tls_cacert: str = setting("", "authority of the servers' certificates; the system's without it")
    memcache_tls_skip_hostname_verification: Boolean = setting(False, "do not check the name in a certificate")

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The hosts and ports of MEMCACHE_HOST_PORT, in their order; the path of a socket has port 0.

        Raises ValueError while made.
        """
        parts = (part.strip() for part in self.memcache_host_port.split(","))
        return [(part, 0) if "/" in part else host_and_port(part) for part in parts if part]

    @property
    def tls(self) -> ssl.SSLContext | None:
        """What connections are secured with, None where they are not. Raises OSError."""
        if not self.memcache_tls:
            return None
        return client_context(
            self.memcache_tls_client_cert,
            self.memcache_tls_client_key,
            self.memcache_tls_cacert,
            check_hostname=not self.memcache_tls_skip_hostname_verification,
        )
