"""`make bench-store`: what a decision costs the store: its CPU time, its commands, its memory. No server, no network.

Requests go to the service as a transport would hand them over, a tick of them at a time, and the service counts them in
an embedded Valkey of their own. Told are the store's own CPU time per request, what one core of it could therefore
carry, the scripts it ran per request, and what a counter takes of its memory. REQUESTS sizes each case.
"""

import asyncio
import itertools
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis.asyncio

from deploy.demo.processes import LOOPBACK, run_to_the_end
from loadtest.bench_floors import LIMIT, NullCall
from loadtest.servers import SERVER_CORE, pinned, start_store
from loadtest.sizes import number_of
from ratelimit.clock import SystemClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import RpcError
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.planner import Planner
from ratelimit.logs import configure_logs
from ratelimit.metrics import Metrics
from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.settings import LogSettings, RedisSettings
from ratelimit.stores.redis.store import RedisStore

TIMEOUT_S = 30.0
# The memory of fewer counters is lost in what else a store takes.
KEYS_MIN = 1_000
_LIMITS = "\n".join(
    f"  - {{key: {algorithm}, rate_limit: {{unit: hour, requests_per_unit: {LIMIT}, algorithm: {algorithm}}}}}"
    for algorithm in ("fixed_window", "sliding_window", "gcra")
)
_CONFIGS = {
    "bench": f"domain: bench\ndescriptors:\n{_LIMITS}\n",
    "together": f"domain: together\nall_or_nothing: true\ndescriptors:\n{_LIMITS.splitlines()[0]}\n",
}


@dataclass(frozen=True, slots=True)
class Case:
    """Requests of `descriptors` descriptors of `key`, `calls` in a tick; `values` different ones, 0 for ever new."""

    title: str
    calls: int
    values: int
    key: str = "fixed_window"
    domain: str = "bench"
    descriptors: int = 1


CASES = (
    Case("fixed window, alone in its tick", 1, 1),
    Case("fixed window, 128 in a tick, one key", 128, 1),
    Case("fixed window, 128 in a tick, 10,000 keys", 128, 10_000),
    Case("fixed window, 128 in a tick, keys ever new", 128, 0),
    Case("sliding window, alone in its tick", 1, 1, "sliding_window"),
    Case("sliding window, 128 in a tick, 10,000 keys", 128, 10_000, "sliding_window"),
    Case("GCRA, alone in its tick", 1, 1, "gcra"),
    Case("GCRA, 128 in a tick, 10,000 keys", 128, 10_000, "gcra"),
    Case("three fixed windows, alone in their tick", 1, 1, descriptors=3),
    Case("three fixed windows, 128 in a tick, 10,000 keys", 128, 10_000, descriptors=3),
    Case("all or nothing of three, alone in their tick", 1, 1, domain="together", descriptors=3),
    Case("all or nothing of three, 128 in a tick", 128, 10_000, domain="together", descriptors=3),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What the store did for a case: `cpu_us` and `scripts` per request, `key_bytes` per counter, None for too few."""

    cpu_us: float
    scripts: float
    key_bytes: float | None


class _Told(NullCall):
    """A call that tells a tick of its end. A failure ends the bench."""

    __slots__ = ("_end",)

    def __init__(self, end: Callable[[RpcError | None], None]) -> None:
        super().__init__()
        self._end = end

    def reply(self, message: bytes) -> None:  # noqa: ARG002 - a call's
        self._end(None)

    def fail(self, error: RpcError) -> None:
        self._end(error)


async def tick(service: RateLimitService, messages: Sequence[bytes]) -> None:
    """Have all messages answered, as they come in one tick. Raises RpcError."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    missing = len(messages)

    def end(error: RpcError | None) -> None:
        nonlocal missing
        missing -= 1
        if error is not None and not ended.done():
            ended.set_exception(error)
        elif missing == 0 and not ended.done():
            ended.set_result(None)

    service.should_rate_limit([_Told(end) for _ in messages], messages)
    await ended


def message(case: Case, value: int) -> bytes:
    """One request of a case."""
    request = rls_pb2.RateLimitRequest(domain=case.domain)
    for number in range(case.descriptors):
        entry = ratelimit_pb2.RateLimitDescriptor.Entry(key=case.key, value=f"user-{value:09d}-{number}")
        request.descriptors.append(ratelimit_pb2.RateLimitDescriptor(entries=[entry]))
    return request.SerializeToString()


async def measure(
    service: RateLimitService, case: Case, requests: int, valkey: psutil.Process, client: redis.asyncio.Redis
) -> Cost:
    """Run a case on an empty store."""
    await client.flushall()
    values = itertools.count() if case.values == 0 else itertools.cycle(range(case.values))
    known = [message(case, value) for value in range(case.values)]
    empty_bytes = await used_bytes(client)
    await client.config_resetstat()
    before = sum(valkey.cpu_times()[:2])
    # A tick of one takes as long as one of many; a tenth of the requests tells as much.
    ticks = max(1, requests // max(case.calls, 10))
    for _ in range(ticks):
        some = list(itertools.islice(values, case.calls))
        await tick(service, [known[value] for value in some] if known else [message(case, value) for value in some])
    spent = sum(valkey.cpu_times()[:2]) - before
    scripts = (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    held_bytes = await used_bytes(client) - empty_bytes
    asked = ticks * case.calls
    keys = await client.dbsize()
    return Cost(spent / asked * 1e6, scripts / asked, held_bytes / keys if keys >= KEYS_MIN else None)


async def used_bytes(client: redis.asyncio.Redis) -> int:
    """What the store holds, without the buffers of connections: those come and go."""
    memory = await client.info("memory")
    return int(memory["used_memory"]) - int(memory["mem_clients_normal"])


def row(case: Case, cost: Cost) -> str:
    """The table's."""
    core = 1e6 / cost.cpu_us if cost.cpu_us else float("inf")
    size = "" if cost.key_bytes is None else f"{cost.key_bytes:.0f}"
    return f"{case.title:<50}{cost.cpu_us:>8.2f}{core:>14,.0f}{cost.scripts:>10.3f}{size:>12}"


async def measure_all() -> int:
    """Measure every case in turn and print the table; the exit code."""
    try:
        requests = number_of("REQUESTS", 200_000, 1)
    except ValueError as error:
        sys.exit(f"bench-store: {error}")
    if pinned(SERVER_CORE):
        os.sched_setaffinity(0, {SERVER_CORE})
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = await start_store(stack, folder)
        client = redis.asyncio.Redis(host=LOOPBACK, port=port)
        stack.push_async_callback(client.aclose)
        # Valkey frees what is flushed in the background otherwise: the next case would find it there still.
        await client.config_set("lazyfree-lazy-user-flush", "no")
        valkey = psutil.Process((await client.info("server"))["process_id"])
        service = await _service(stack, port)
        print(f"{'case':<50}{'CPU µs':>8}{'req/s a core':>14}{'scripts':>10}{'bytes/key':>12}")
        for case in CASES:
            print(row(case, await measure(service, case, requests, valkey, client)), flush=True)
    return 0


async def _service(stack: AsyncExitStack, port: int) -> RateLimitService:
    """The service without a server, once its store is there."""
    loop, metrics, ready = asyncio.get_running_loop(), Metrics(), asyncio.Event()
    place = RedisSettings(redis_socket_type="tcp", redis_url=f"{LOOPBACK}:{port}").place
    store = RedisStore(place, metrics.store, lambda connected: ready.set() if connected else None)
    await store.start()
    stack.push_async_callback(store.close)
    limiter = Limiter(store, SystemClock(), loop, OverLimitCache(0), LimiterOptions(TIMEOUT_S))
    planner = Planner(exact_counter, lambda key, configured: metrics.limit(key, configured=configured))
    service = RateLimitService(limiter, planner, metrics, loop.time)
    service.swap(load_config([ConfigFile(name, text.encode()) for name, text in _CONFIGS.items()]))
    async with asyncio.timeout(TIMEOUT_S):
        await ready.wait()
    return service


if __name__ == "__main__":
    configure_logs(LogSettings())
    sys.exit(run_to_the_end(measure_all, "bench-store"))
