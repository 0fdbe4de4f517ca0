"""What a process that answers calls has: the store, the limiter, the service, health and the gRPC server.

It is handed configurations and knows neither where they come from nor who shows its numbers. That is app.py's, which
runs one worker in its own process, or a supervisor of several processes with one worker each (`workers/`).
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import structlog

from ratelimit.clock import Clock, FollowingClock, SystemClock
from ratelimit.descriptors.tree import Config
from ratelimit.lifetime import Part, close_each, first
from ratelimit.limiter.counter_store import CounterStore
from ratelimit.limiter.key_watch import KeyWatch
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import LimitStats, Metrics
from ratelimit.service.grpc_services import add_services
from ratelimit.service.health import Health
from ratelimit.service.planning import decision_rules, make_planner
from ratelimit.service.rate_limit import RateLimitService, Rules
from ratelimit.service.rlqs.rate_limit_quota import RateLimitQuotaService
from ratelimit.settings import Settings
from ratelimit.stores.choice import choose_store
from ratelimit.tracing.traces import Traces
from ratelimit.transport.grpcio_server import GrpcioServer
from ratelimit.transport.methods import GrpcServer, InStep
from ratelimit.transport.native_server import NativeServer

# Calls are taken when the store is there, so that an instance or a worker that is started again refuses none; where the
# store is away for longer, calls fail everywhere.
STORE_WAIT_S = 1.0

_log = structlog.get_logger("ratelimit")


class Worker:
    """Made inside the running event loop; counts in `metrics`."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self.health = Health(
            needs_active_store=settings.redis.redis_health_check_active_connection,
            needs_config=settings.config.healthy_with_at_least_one_config_loaded,
        )
        follows = settings.limiter.store_clock == "redis"
        self._store_clock = FollowingClock(SystemClock(), time.monotonic) if follows else None
        self._chosen = choose_store(
            settings, metrics, lambda connected: self.health.store_changed(connected=connected), self._store_clock
        )
        self.service = self._make_service(self._chosen.store)
        self.quota = self._make_quota()
        self._traces = Traces(settings.tracing, log=settings.log) if settings.tracing.tracing_enabled else None
        self.grpc = _server(settings, metrics)
        self.service.answered = self.grpc.flush

    @property
    def config(self) -> Config | None:
        """The configuration in force; None before the first."""
        return self.service.config

    @property
    def healthy(self) -> bool:
        """Whether calls are welcome."""
        return self.health.healthy

    @property
    def grpc_port(self) -> int:
        """The port that calls come to; 0 before the start."""
        return self.grpc.port

    async def start(self) -> None:
        """Connect, and take calls. Raises OSError."""
        await self.connect()
        await self.ready()
        await self.serve()

    async def connect(self) -> None:
        """Connect to the store in the background; `health` tells when it is there."""
        self.health.log_changes()
        for remote in self._chosen.remote:
            await remote.start()
        if not self._chosen.remote:
            self.health.store_changed(connected=True)

    async def ready(self) -> None:
        """Wait for the store, for a moment: whoever knows the address calls as soon as it listens."""
        healthy = asyncio.Event()
        self.health.on_change(lambda: healthy.set() if self.health.healthy else None)
        await first(healthy.wait(), asyncio.sleep(STORE_WAIT_S))

    async def serve(self) -> None:
        """Take calls. Raises OSError."""
        add_services(
            self.grpc,
            self.service,
            self.health,
            with_reflection=self._settings.server.grpc_reflection,
            quota=self.quota,
            traced=self._traces.traced if self._traces is not None else lambda method: method,
        )
        await self.grpc.start()

    def swap(self, config: Config, generation: int = 0) -> None:
        """Put a configuration in force for every call from now on, with the rules that the settings give it."""
        self.service.swap(config, rules(self._settings), generation)
        if self.quota is not None:
            self.quota.swap(config)
        self._metrics.configuration_loaded(config.limits)
        self.health.config_changed(loaded=bool(config.domains))

    async def gave_up(self) -> None:
        """Wait for what ends the process: raises StoreError where REDIS_STARTUP_MAX_ELAPSED_TIME passes in vain."""
        if not self._chosen.remote:
            await asyncio.get_running_loop().create_future()
        gave_up = [remote.gave_up for remote in self._chosen.remote]
        ended, _ = await asyncio.wait(gave_up, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            each.result()

    async def drain(self, hurry: asyncio.Event, in_step: InStep | None = None) -> None:
        """Be seen as not serving before anything is refused, then answer what is open; `hurry` ends each wait.

        `in_step` is for workers that end together, as `GrpcServer.stop` has it.
        """
        server = self._settings.server
        self.health.drain()
        # Nobody has to notice where nobody is connected.
        delay_s = 0.0 if self.grpc.connections == 0 else server.drain_delay
        _log.info("draining", delay_s=delay_s, grace_s=server.drain_grace)
        await first(hurry.wait(), asyncio.sleep(delay_s))
        await first(hurry.wait(), self.grpc.stop(server.drain_grace, in_step))

    async def close(self) -> None:
        """End at once. The store goes last: calls that are still open wait for it."""
        self.health.drain()
        parts: list[Part] = [("gRPC server", lambda: self.grpc.stop(0))]
        if self.quota is not None:
            self.quota.close()
        parts += [("store", remote.close) for remote in self._chosen.remote]
        if self._traces is not None:
            parts.append(("traces", self._traces.close))
        await close_each(parts)

    @property
    def worker_states(self) -> Sequence[dict[str, Any]]:
        """None: there is no other process."""
        return ()

    def watch_keys(self, *, on: bool) -> None:
        """Note from now on which keys are hit, or no more."""
        self.service.watch = KeyWatch(time.monotonic()) if on else None

    def key_rates(self) -> Sequence[dict[str, Any]]:
        """What was noted, as `KeyWatch.rates` has it; nothing where nothing is."""
        watch = self.service.watch
        return () if watch is None else (watch.rates(time.monotonic()),)

    def _make_service(self, store: CounterStore) -> RateLimitService:
        reference = self._settings.server.grpc_error_codes == "reference"
        time_s = asyncio.get_running_loop().time
        limiter, planner = self._make_limiter(store), self._make_planner()
        return RateLimitService(limiter, planner, self._metrics, time_s, reference_error_codes=reference)

    def _make_quota(self) -> RateLimitQuotaService | None:
        settings = self._settings
        store = self._chosen.ledgers
        # What several processes divide each for itself is divided too often.
        if not settings.quota.rlqs_enabled or (store is None and settings.server.workers != 1):
            return None
        return RateLimitQuotaService(settings.quota, self._metrics, store)

    def _make_planner(self) -> Planner:
        def stats(key: str, configured: bool) -> LimitStats:  # noqa: FBT001 - the planner's port
            return self._metrics.limit(key, configured=configured)

        return make_planner(self._settings, stats)

    def _make_limiter(self, store: CounterStore) -> Limiter:
        limits = self._settings.limiter
        cache = OverLimitCache(limits.local_cache_size_in_bytes)
        if cache.enabled:
            self._metrics.local_cache = cache
        timeout_s = self._settings.redis.timeout_s
        options = LimiterOptions(timeout_s, limits.expiration_jitter_max_seconds, limits.pending_hits_max)
        clock: Clock = self._store_clock or SystemClock()
        return Limiter(store, clock, asyncio.get_running_loop(), cache, options)


def _server(settings: Settings, metrics: Metrics) -> GrpcServer:
    traced = settings.tracing.tracing_enabled
    if settings.server.grpc_transport == "native":
        return NativeServer(settings.server, metrics.grpc, traced=traced)
    return GrpcioServer(settings.server, traced=traced)


def rules(settings: Settings) -> Rules:
    """What the settings, and not the configuration, say of each request; made anew at each reload."""
    return Rules(decision_rules(settings), settings.response)
