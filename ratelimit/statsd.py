"""Statsd over TCP: one line per stat and flush, as envoyproxy/ratelimit sends it.

A flush is a row of packets, and what a packet holds counts as sent or as not sent as a whole. It is sent as soon as
the kernel took any of it: whether the other end read what the kernel took cannot be known, and a hit that is told
twice is worse than one that is not told. A packet that the kernel did not take at all goes out with the next flush.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import structlog

from ratelimit.metrics import Metrics, Snapshot, name_with_tags, tags_suffix
from ratelimit.metrics.declared import DOMAIN_NOT_FOUND, LIMIT, RESPONSE_TIME, SHARE, SINGLES, Kind
from ratelimit.settings import MetricsSettings

WRITE_TIMEOUT_S = 5.0
PACKET_BYTES = 8 * 1024
# Comparing so many series takes about a millisecond; then the event loop runs.
SERIES_AT_ONCE = 500

_log = structlog.get_logger(__name__)


class Line(NamedTuple):
    """One line without its end; once it is sent, `holder[place] = value` is noted for each of `notes`."""

    text: str
    notes: tuple[tuple[Any, Any, float], ...] = ()


_PAUSE = Line("")


Write = Callable[[str, str], str]
"""A line of the name of a stat and what follows it: the value and its kind, `3|c`."""


class FlushingSink(ABC):
    """Flushes every `interval_s` seconds, and once more at the end."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def start(self) -> None:
        """Flush from now on."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Let a flush end, flush once more if the other end is there, and end."""
        self._closing.set()
        if self._task is not None:
            await self._task
        await self.end()

    @abstractmethod
    async def flush(self) -> None:
        """Send every counter that changed, and every gauge."""

    @abstractmethod
    async def end(self) -> None:
        """The last flush, where there is somebody to tell, and the end of the connection."""

    async def _run(self) -> None:
        while not self._closing.is_set():
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._closing.wait()
            except TimeoutError:
                await self.flush()


class StatsdSink(FlushingSink):
    """Sends what was added since the flush before, every STATS_FLUSH_INTERVAL, to STATSD_HOST:STATSD_PORT."""

    def __init__(self, settings: MetricsSettings, metrics: Metrics) -> None:
        super().__init__(settings.stats_flush_interval)
        self._settings = settings
        self._metrics = metrics
        self._differences = Differences(tagged(tags_suffix(settings.extra_tags)))
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._away = False

    async def end(self) -> None:
        if not self._away:
            await self.flush()
        if self._writer is not None:
            self._writer.close()

    async def flush(self) -> None:
        """Send every counter that changed, and every gauge."""
        lines = self._differences.lines(self._metrics.snapshot())
        try:
            await self._connect()
            for packet in packets(lines, PACKET_BYTES):
                if packet:
                    await self._send(packet)
                # Nothing above needs to wait while the other end is quick: let others run.
                await asyncio.sleep(0)
        except (OSError, TimeoutError) as error:
            self._disconnect()
            if not self._away:
                _log.warning("statsd cannot be reached", reason=str(error) or "no answer in time")
            self._away = True
            return
        if self._away:
            _log.warning("statsd is reached again")
        self._away = False

    async def _connect(self) -> None:
        if self._writer is not None and (self._writer.is_closing() or (self._reader and self._reader.at_eof())):
            self._disconnect()
        if self._writer is None:
            host = self._settings.statsd_host.strip("[]")
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                self._reader, self._writer = await asyncio.open_connection(host, self._settings.statsd_port)
            # So `drain` waits until the kernel has everything, and what it has not is known.
            self._writer.transport.set_write_buffer_limits(0)

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def _send(self, packet: list[Line]) -> None:
        """Hand `packet` to the kernel and note it as sent. Raises OSError or TimeoutError."""
        assert self._writer is not None  # noqa: S101 - _connect came before
        data = "".join(f"{line.text}\n" for line in packet).encode()
        self._writer.write(data)
        taken = True
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._writer.drain()
        except TimeoutError:
            taken = self._writer.transport.get_write_buffer_size() < len(data)
            raise
        finally:
            if taken:
                note(packet)


class Differences:
    """What to tell of a snapshot, given what was told before, in lines as `write` makes them."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._singles: dict[str, int] = {}
        self._domains: dict[str, int] = {}
        self._limits: dict[str, list[int]] = {}
        self._calls: dict[int, int] = {}
        self._seconds: dict[int, float] = {}

    def lines(self, snapshot: Snapshot) -> Iterator[Line]:
        """Lines for all that changed; empty ones are places to pause at."""
        self._forget_series_that_are_gone(snapshot)
        for stat in SINGLES:
            if stat.name not in snapshot.singles:
                continue
            value = snapshot.singles[stat.name]
            if stat.kind is Kind.GAUGE:
                yield Line(self._write(stat.name, f"{value}|g"))
            else:
                yield from self._counter(stat.name, value, self._singles, stat.name)
        yield from self._response_time(snapshot)
        for domain, count in snapshot.domains_not_found.items():
            yield from self._counter(DOMAIN_NOT_FOUND.name.format(domain), count, self._domains, domain)
        yield from self._limit_counters(snapshot)
        for index, (name, numbers) in enumerate(snapshot.shares.items()):
            if index % SERIES_AT_ONCE == 0:
                yield _PAUSE
            for stat, number in zip(SHARE, numbers, strict=True):
                yield Line(self._write(stat.name.format(name), f"{number}|g"))

    def _limit_counters(self, snapshot: Snapshot) -> Iterator[Line]:
        for series in (snapshot.configured, snapshot.dynamic):
            for index, (name, numbers) in enumerate(series.items()):
                if index % SERIES_AT_ONCE == 0:
                    yield _PAUSE
                if any(numbers):
                    told = self._limits.setdefault(name, [0] * len(LIMIT))
                    for place, stat in enumerate(LIMIT):
                        if numbers[place] != told[place]:
                            yield from self._counter(stat.name.format(name), numbers[place], told, place)

    def _counter(self, name: str, value: int, told: Any, place: int | str) -> Iterator[Line]:
        before = told.get(place, 0) if isinstance(told, dict) else told[place]
        # A counter below what was told is another one: its series was dropped and has come back.
        added = value - before if value >= before else value
        if added:
            yield Line(self._write(name, f"{added}|c"), ((told, place, value),))

    def _response_time(self, snapshot: Snapshot) -> Iterator[Line]:
        """A timer in ms for each bucket: the mean of its new calls, with a sample rate that tells how many they are."""
        for bucket, (calls, seconds) in enumerate(zip(snapshot.calls, snapshot.seconds, strict=True)):
            added = calls - self._calls.get(bucket, 0)
            if not added:
                continue
            mean_ms = 1000 * (seconds - self._seconds.get(bucket, 0.0)) / added
            # Rounded down: receivers take the whole number below 1 / rate as the number of calls.
            rate = f"|@{math.floor(1e9 / added) / 1e9:.9f}" if added > 1 else ""
            notes = ((self._calls, bucket, calls), (self._seconds, bucket, seconds))
            yield Line(self._write(RESPONSE_TIME.name, f"{mean_ms:.6f}|ms{rate}"), notes)

    def _forget_series_that_are_gone(self, snapshot: Snapshot) -> None:
        if len(self._limits) > len(snapshot.configured) + len(snapshot.dynamic):
            shown = snapshot.configured.keys() | snapshot.dynamic.keys()
            self._limits = {name: told for name, told in self._limits.items() if name in shown}


def packets(lines: Iterator[Line], bytes_max: int) -> Iterator[list[Line]]:
    """Lines in packets of at most `bytes_max` bytes, as far as a line fits; an empty packet is a place to pause at."""
    packet: list[Line] = []
    size = 0
    for line in lines:
        if line is _PAUSE:
            yield []
            continue
        more = len(line.text.encode()) + 1
        if packet and size + more > bytes_max:
            yield packet
            packet, size = [], 0
        packet.append(line)
        size += more
    yield packet


def note(packet: list[Line]) -> None:
    """These lines are sent."""
    for line in packet:
        for holder, place, value in line.notes:
            holder[place] = value


def tagged(suffix: str) -> Write:
    """Lines of statsd, with `suffix` behind every name."""
    return lambda name, value: f"{name_with_tags(name, suffix)}:{value}"
