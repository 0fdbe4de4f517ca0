"""A service in this process, flooded with unique values: prints the memory it holds in MB, before and after.

Resident without what it shares: how many pages of its libraries' files the kernel maps beside those used depends on the
page cache, and was seen to differ by 7 MB between two copies of the same installation.

Run by tests/integration/test_memory.py in a process of its own, with everything imported that the service imports.
"""

import sys

import psutil

import ratelimit.app
import ratelimit.worker  # noqa: F401 - what a real process holds is part of the figure
from loadtest.bench_floors import NullCall, StepLoop, request
from ratelimit.clock import SystemClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.limiter import Limiter
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import Metrics
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.stores.memory import MemoryStore

CONFIG = b"domain: bench\ndescriptors: [{key: k0, rate_limit: {unit: minute, requests_per_unit: 0}}]"
READ = 200


class LenientCall(NullCall):
    """A full store refuses: that is an answer too."""

    def fail(self, error: Exception) -> None: ...


def held_mb() -> int:
    """What this process holds, without pages of files."""
    memory = psutil.Process().memory_info()
    return int((memory.rss - memory.shared) / 1e6)


def main(requests: int, value_bytes: int) -> None:
    """Flood with values of that size, each one once; all caches on, every request over its limit."""
    loop, metrics = StepLoop(), Metrics()
    limiter = Limiter(MemoryStore(), SystemClock(), loop, OverLimitCache(1024 * 1024))
    planner = Planner(exact_counter, lambda key, configured: metrics.limit(key, configured=configured))
    service = RateLimitService(limiter, planner, metrics, loop.time)
    service.swap(load_config([ConfigFile("f", CONFIG)]))
    before = held_mb()
    for start in range(0, requests, READ):
        messages = [request(1, f"{number}".rjust(value_bytes, "x")) for number in range(start, start + READ)]
        service.should_rate_limit([LenientCall() for _ in messages], messages)
        loop.callback()
    sys.stdout.write(f"{before} {held_mb()}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
