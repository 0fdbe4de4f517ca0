"""Statsd over TCP: one line per stat and flush, as envoyproxy/ratelimit sends it."""

import asyncio
from collections.abc import Iterable

import structlog

from ratelimit.metrics import Metrics
from ratelimit.settings import MetricsSettings

WRITE_TIMEOUT_S = 5.0

_log = structlog.get_logger(__name__)


class StatsdSink:
    """Sends what changed since the flush before, every STATS_FLUSH_INTERVAL, to STATSD_HOST:STATSD_PORT.

    What cannot be sent is sent with the next flush: a counter's difference grows until it is out.
    """

    def __init__(self, settings: MetricsSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._sent: dict[str, int] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._reported = False
        self._tags = tags_suffix(settings.extra_tags)

    async def start(self) -> None:
        """Flush from now on."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Flush once more and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()
        if self._writer is not None:
            self._writer.close()

    async def flush(self) -> None:
        """Send every counter that changed, and every gauge."""
        counters = dict(self._metrics.counters())
        changed = {name: value - self._sent.get(name, 0) for name, value in counters.items()}
        lines = [f"{name}{self._tags}:{value}|c\n" for name, value in changed.items() if value]
        lines += [f"{name}{self._tags}:{value}|g\n" for name, value in self._metrics.gauges()]
        if await self._send(lines):
            self._sent = counters

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.stats_flush_interval)
            await self.flush()

    async def _send(self, lines: Iterable[str]) -> bool:
        settings = self._settings
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                if self._writer is None:
                    _, self._writer = await asyncio.open_connection(settings.statsd_host, settings.statsd_port)
                self._writer.write("".join(lines).encode())
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            self._writer = None
            if not self._reported:
                _log.warning("statsd cannot be reached", error=str(error))
            self._reported = True
            return False
        self._reported = False
        return True


def tags_suffix(tags: dict[str, str]) -> str:
    """EXTRA_TAGS as part of a stat name, sorted by key: `.__a=b.__foo=bar`."""
    table = str.maketrans(dict.fromkeys(".:|", "_"))
    return "".join(f".__{key}={value.translate(table)}" for key, value in sorted(tags.items()))
