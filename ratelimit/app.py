"""The composition root: what answers calls, what is beside it, and the order in which everything starts and ends.

start: listeners, store and configuration come up together; health tells when calls are welcome
stop:  NOT_SERVING -> DRAIN_DELAY, still accepting -> open calls end within DRAIN_GRACE -> closed
"""

import asyncio
import signal
from typing import Any, Generic, Protocol, TypeVar

import structlog

from ratelimit.admin.live_page import AdminViews
from ratelimit.admin.server import AdminServer
from ratelimit.descriptors.tree import Config
from ratelimit.dogstatsd import DogStatsdSink
from ratelimit.errors import ConfigError
from ratelimit.lifetime import Part, close_each, end_tasks, settle_memory
from ratelimit.metrics import Metrics
from ratelimit.settings import Settings
from ratelimit.sources.choice import choose_source
from ratelimit.sources.source import Listener
from ratelimit.statsd import FlushingSink, StatsdSink
from ratelimit.workers.cores import usable_cores

_log = structlog.get_logger("ratelimit")


class Workforce(Protocol):
    """What answers calls: one `Worker` in this process, or a `Supervisor` of several processes."""

    @property
    def config(self) -> Config | None:
        """The configuration in force; None before the first."""

    @property
    def healthy(self) -> bool:
        """Whether calls are welcome."""

    @property
    def grpc_port(self) -> int:
        """Where calls come to, after the start."""

    async def start(self) -> None:
        """Take calls. Raises OSError."""

    def swap(self, config: Config) -> None:
        """Put a configuration in force."""

    async def gave_up(self) -> None:
        """Wait for what ends the service: raises StoreError."""

    async def drain(self, hurry: asyncio.Event) -> None:
        """Be seen as not serving, then let calls end; `hurry` ends each wait."""

    async def close(self) -> None:
        """End at once."""


W = TypeVar("W", bound=Workforce)


def make_app(settings: Settings) -> "App[Any]":
    """The service as WORKERS has it: all in this process for one, else a supervisor. Inside the running loop.

    Each imports what it needs: the supervisor has neither gRPC nor a store.
    """
    workers = usable_cores() if settings.server.workers == "auto" else settings.server.workers
    metrics = Metrics(settings.metrics.metrics_series_max)
    if workers == 1:
        from ratelimit.worker import Worker  # noqa: PLC0415

        worker = Worker(settings, metrics)
        views = AdminViews(worker.service, worker.health, metrics, worker, quota=worker.quota)
        return App(settings, worker, views)
    from ratelimit.workers.supervisor import Supervisor  # noqa: PLC0415

    supervisor = Supervisor(settings, metrics, workers)
    return App(settings, supervisor, AdminViews(supervisor, supervisor, metrics, supervisor))


class App(Generic[W]):
    """The configuration's source, the pages, statsd, the signals, and what answers calls."""

    def __init__(self, settings: Settings, worker: W, views: AdminViews) -> None:
        # Set when the start is over.
        self.serving = asyncio.Event()
        self._stopping = asyncio.Event()
        self._killed = asyncio.Event()
        # Whoever was told of a wrong configuration hears of the right one at the same level.
        self._warned_of_config = False
        self.metrics = views.metrics
        self._loads = views.loads
        self.worker = worker
        self.admin = AdminServer(settings, views)
        self._source = choose_source(settings, Listener(self._config_loaded, self._config_failed))
        self._sink = _sink(settings, self.metrics)

    async def run(self) -> None:
        """Serve until a signal. Raises OSError, ConfigError or StoreError for what ends the start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        try:
            if await self._started():
                await self._until_stopped()
                await self.worker.drain(self._killed)
        finally:
            await self._close()

    async def _started(self) -> bool:
        """Start. False where a signal came first: a first load may take long, and nobody's call is there to drain."""
        starting, stopping = asyncio.ensure_future(self._start()), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            return starting.done()
        finally:
            await end_tasks(starting, stopping)

    async def _start(self) -> None:
        await self._source.start()
        await self.admin.start()
        await self.worker.start()
        if self._sink is not None:
            await self._sink.start()
        settle_memory()
        ports = {f"{name}_port": port for name, port in {"grpc": self.worker.grpc_port, **self.admin.ports}.items()}
        _log.info("serving", **ports)
        self.serving.set()

    async def _until_stopped(self) -> None:
        waits = [asyncio.ensure_future(self._stopping.wait()), asyncio.ensure_future(self.worker.gave_up())]
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()
        for wait in done:
            wait.result()

    async def _close(self) -> None:
        # statsd after the worker, whose last counts it sends; the pages last, so that an end can be watched.
        parts: list[Part] = [("source", self._source.close), ("worker", self.worker.close)]
        if self._sink is not None:
            parts.append(("statsd", self._sink.close))
        await close_each([*parts, ("admin", self.admin.close)])
        _log.info("stopped")

    def _config_loaded(self, config: Config) -> None:
        self.worker.swap(config)
        self.metrics.config_load_success += 1
        self._loads.loaded(config)
        if not config.domains:
            _log.warning("the configuration has no domain: every call is answered OK, and nothing is counted")
        else:
            told = _log.warning if self._warned_of_config else _log.info
            told("configuration loaded", domains=len(config.domains))
        self._warned_of_config = not config.domains

    def _config_failed(self, error: ConfigError) -> None:
        self.metrics.config_load_error += 1
        self._loads.failed(error)
        self._warned_of_config = True
        kept = "the one before stays in force" if self.worker.config else "every call fails until there is one"
        _log.error(
            f"configuration not loaded, {kept}", error=str(error), file=error.file, line=error.line, key=error.key_path
        )

    def _signalled(self) -> None:
        (self._killed if self._stopping.is_set() else self._stopping).set()


def _sink(settings: Settings, metrics: Metrics) -> FlushingSink | None:
    """What is told of the metrics, where that is not Prometheus, which asks."""
    if settings.dog_statsd_on:
        return DogStatsdSink(settings, metrics)
    return StatsdSink(settings.metrics, metrics) if settings.metrics.statsd_on else None
