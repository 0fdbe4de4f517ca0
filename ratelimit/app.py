"""The composition root: what a process has beside its worker, and the order in which everything starts and ends.

start: listeners, store and configuration come up together; health tells when calls are welcome
stop:  NOT_SERVING -> DRAIN_DELAY, still accepting -> open calls end within DRAIN_GRACE -> closed
"""

import asyncio
import gc
import signal

import structlog

from ratelimit.admin.server import AdminServer, AdminViews
from ratelimit.descriptors.tree import Config
from ratelimit.errors import ConfigError
from ratelimit.metrics import Metrics
from ratelimit.settings import Settings
from ratelimit.sources.directory import DirectorySource
from ratelimit.sources.source import Listener
from ratelimit.statsd import StatsdSink
from ratelimit.worker import Part, Worker, close_each

# Objects made and not freed between two passes over the youngest, and how many of those make one over the older ones.
GC_THRESHOLDS = (50_000, 20, 20)

_log = structlog.get_logger("ratelimit")


class App:
    """The configuration's source, the pages, statsd, the signals, and one worker. Made inside the running loop."""

    def __init__(self, settings: Settings) -> None:
        self._stopping = asyncio.Event()
        self._killed = asyncio.Event()
        # Whoever was told of a wrong configuration hears of the right one at the same level.
        self._warned_of_config = False
        self.metrics = Metrics(settings.metrics.metrics_series_max)
        self.worker = Worker(settings, self.metrics)
        self.admin = AdminServer(settings, AdminViews(self.worker.service, self.worker.health, self.metrics))
        self._source = DirectorySource(settings.config, Listener(self._config_loaded, self._config_failed))
        self._statsd = StatsdSink(settings.metrics, self.metrics) if settings.metrics.statsd_on else None

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
            starting.cancel()
            stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    async def _start(self) -> None:
        await self._source.start()
        await self.admin.start()
        await self.worker.start()
        if self._statsd is not None:
            await self._statsd.start()
        _settle_memory()
        ports = {f"{name}_port": port for name, port in {"grpc": self.worker.grpc.port, **self.admin.ports}.items()}
        _log.info("serving", **ports)

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
        if self._statsd is not None:
            parts.append(("statsd", self._statsd.close))
        await close_each([*parts, ("admin", self.admin.close)])
        _log.info("stopped")

    def _config_loaded(self, config: Config) -> None:
        self.worker.swap(config)
        self.metrics.config_load_success += 1
        if not config.domains:
            _log.warning("the configuration has no domain: every call is answered OK, and nothing is counted")
        else:
            told = _log.warning if self._warned_of_config else _log.info
            told("configuration loaded", domains=len(config.domains))
        self._warned_of_config = not config.domains

    def _config_failed(self, error: ConfigError) -> None:
        self.metrics.config_load_error += 1
        self._warned_of_config = True
        kept = "the one before stays in force" if self.worker.service.config else "every call fails until there is one"
        _log.error(
            f"configuration not loaded, {kept}", error=str(error), file=error.file, line=error.line, key=error.key_path
        )

    def _signalled(self) -> None:
        (self._killed if self._stopping.is_set() else self._stopping).set()


def _settle_memory() -> None:
    """Take what the start has made out of the garbage collector's sight, and let it look less often.

    A full pass visits every object: 30 ms with what is imported here, in which no call is answered. What requests make
    is freed without it, since they make no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
