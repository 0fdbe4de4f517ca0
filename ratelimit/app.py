"""The composition root: builds every part, wires them, and ends them in order.

start: listeners, store and configuration come up together; health tells when calls are welcome
stop:  NOT_SERVING -> DRAIN_DELAY, still accepting -> open calls end within DRAIN_GRACE -> closed
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import structlog

from ratelimit.admin.server import AdminServer, AdminViews
from ratelimit.clock import SystemClock
from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError
from ratelimit.limiter.counter_key import exact_counter, reference_counter
from ratelimit.limiter.counter_store import CounterStore
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import DecisionRules
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import Metrics
from ratelimit.service.grpc_services import add_services
from ratelimit.service.health import Health
from ratelimit.service.rate_limit import RateLimitService, Rules
from ratelimit.settings import Settings
from ratelimit.sources.directory import DirectorySource
from ratelimit.sources.source import Listener
from ratelimit.statsd import StatsdSink
from ratelimit.stores.memory import MemoryStore
from ratelimit.stores.redis_store import RedisStore
from ratelimit.transport.grpcio_server import GrpcioServer

_log = structlog.get_logger("ratelimit")


class App:
    """One process of the service. Made inside the running event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._killed = asyncio.Event()
        self.metrics = Metrics(settings.metrics.metrics_series_max)
        self.health = Health(
            needs_active_store=settings.redis.redis_health_check_active_connection,
            needs_config=settings.config.healthy_with_at_least_one_config_loaded,
        )
        self._redis: RedisStore | None = None
        self.service = self._make_service(self._make_store())
        self.grpc = GrpcioServer(settings.server)
        self.admin = AdminServer(settings, AdminViews(self.service, self.health, self.metrics))
        self._source = DirectorySource(settings.config, Listener(self._config_loaded, self._config_failed))
        self._statsd = StatsdSink(settings.metrics, self.metrics) if settings.metrics.statsd_on else None

    async def run(self) -> None:
        """Serve until a signal. Raises OSError, ConfigError or StoreError for what ends the start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            await self._start()
            await self._until_stopped()
            await self._drain()
        finally:
            await self._close()

    async def _start(self) -> None:
        settings = self._settings
        await self._source.start()
        if self._redis is not None:
            await self._redis.start()
        else:
            self.health.store(connected=True)
        add_services(self.grpc, self.service, self.health, with_reflection=settings.server.grpc_reflection)
        await self.admin.start()
        await self.grpc.start()
        if self._statsd is not None:
            await self._statsd.start()
        _log.info(
            "serving", grpc_port=self.grpc.port, **{f"{name}_port": port for name, port in self.admin.ports.items()}
        )

    async def _until_stopped(self) -> None:
        waits: list[asyncio.Future[object]] = [asyncio.ensure_future(self._stopping.wait())]
        if self._redis is not None:
            waits.append(asyncio.ensure_future(asyncio.shield(self._redis.gave_up)))
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        for wait in done:
            wait.result()

    async def _drain(self) -> None:
        """Be seen as not serving before anything is refused; a second signal ends the wait."""
        server = self._settings.server
        self.health.drain()
        _log.info("draining", delay_s=server.drain_delay, grace_s=server.drain_grace)
        await _first(self._killed.wait(), asyncio.sleep(server.drain_delay))
        await _first(self._killed.wait(), self.grpc.stop(server.drain_grace))

    async def _close(self) -> None:
        await self.grpc.stop(0)
        await self._source.close()
        if self._redis is not None:
            await self._redis.close()
        if self._statsd is not None:
            await self._statsd.close()
        await self.admin.close()
        _log.info("stopped")

    def _make_store(self) -> CounterStore:
        if self._settings.limiter.backend_type == "memory":
            return MemoryStore(self._settings.limiter.memory_store_bytes_max)
        self._redis = RedisStore(
            self._settings.redis,
            self.metrics.store,
            lambda connected: self.health.store(connected=connected),
            self._settings.limiter.cache_key_prefix,
        )
        return self._redis

    def _make_service(self, store: CounterStore) -> RateLimitService:
        limits, loop = self._settings.limiter, asyncio.get_running_loop()
        cache = OverLimitCache(limits.local_cache_size_in_bytes)
        if cache.enabled:
            self.metrics.local_cache = cache
        options = LimiterOptions(
            self._settings.redis.redis_timeout, limits.expiration_jitter_max_seconds, limits.pending_hits_max
        )
        limiter = Limiter(store, SystemClock(), loop, cache, options)
        counter = exact_counter if limits.counter_key_format == "exact" else reference_counter
        planner = Planner(
            counter, lambda key, configured: self.metrics.limit(key, configured=configured), limits.cache_key_prefix
        )
        reference = self._settings.server.grpc_error_codes == "reference"
        return RateLimitService(limiter, planner, self.metrics, loop.time, reference_error_codes=reference)

    def _rules(self) -> Rules:
        """What the settings say of every request, made anew with each configuration."""
        response = self._settings.response
        return Rules(DecisionRules(self._settings.limiter.near_limit_ratio, response.quota_mode), response)

    def _config_loaded(self, config: Config) -> None:
        self.service.swap(config, self._rules())
        self.metrics.config_load_success += 1
        self.metrics.configuration_loaded(_limits(config))
        self.health.config(loaded=bool(config.domains))
        _log.info("configuration loaded", domains=len(config.domains))

    def _config_failed(self, error: ConfigError) -> None:
        self.metrics.config_load_error += 1
        kept = "the one before stays in force" if self.service.config else "every call fails until there is one"
        _log.error(
            f"configuration not loaded, {kept}", error=str(error), file=error.file, line=error.line, key=error.key_path
        )

    def _signalled(self) -> None:
        (self._killed if self._stopping.is_set() else self._stopping).set()


def _limits(config: Config) -> int:
    nodes, limits = list(config.domains.values()), 0
    while nodes:
        node = nodes.pop()
        limits += node.limit is not None
        nodes.extend(node.children.values())
    return limits


async def _first(*coroutines: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
