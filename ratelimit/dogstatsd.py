"""DogStatsD over UDP, as envoyproxy/ratelimit and Datadog's client library send it.

A line is `name:value|kind|#tag:value,...`. Its tags are those of Datadog's own variables, then EXTRA_TAGS, then what
the first mogrifier makes of the name; several lines with a line end each are one datagram. Nobody knows what became of
a datagram, so what is given to the kernel counts as told.
"""

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache

import structlog

from ratelimit.container import container
from ratelimit.metrics import Metrics, sanitise, split_tags
from ratelimit.settings import Mogrifier, Settings
from ratelimit.statsd import Differences, FlushingSink, Write, note, packets

# What a datagram may hold without being taken apart on any common way.
DATAGRAM_BYTES = 1432
# The kernel keeps some hundred datagrams; the other end shall have a moment to take them.
DATAGRAMS_AT_ONCE = 20
PAUSE_S = 0.005
NAMES_MAX = 50_000
_PART = re.compile(r"\$(\d+)", re.ASCII)

_log = structlog.get_logger(__name__)


class DogStatsdSink(FlushingSink):
    """Sends what was added since the flush before, every STATS_FLUSH_INTERVAL, to STATSD_HOST:STATSD_PORT."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(settings.metrics.stats_flush_interval)
        self._address = settings.metrics.statsd_host.strip("[]"), settings.metrics.statsd_port
        self._metrics = metrics
        extra = extra_tags(settings.metrics.extra_tags)
        write = tagged(settings.dog_statsd.tags, extra, settings.mogrifiers)
        origin = container() if settings.dog_statsd.tells_container else ""
        self._differences = Differences(from_container(origin, write) if origin else write)
        self._transport: asyncio.DatagramTransport | None = None
        self._away = False

    async def flush(self) -> None:
        """Send every counter that changed, and every gauge."""
        try:
            transport = await self._connected()
        except OSError as error:
            self.is_away(error)
            return
        sent = 0
        for packet in packets(self._differences.lines(self._metrics.snapshot()), DATAGRAM_BYTES):
            if packet:
                transport.sendto("".join(f"{line.text}\n" for line in packet).encode())
                note(packet)
                sent += 1
            await asyncio.sleep(0 if sent % DATAGRAMS_AT_ONCE else PAUSE_S)

    async def end(self) -> None:
        await self.flush()
        if self._transport is not None:
            self._transport.close()

    def is_away(self, error: Exception) -> None:
        """Tell once that nobody can be told."""
        if not self._away:
            _log.warning("DogStatsD cannot be reached", reason=str(error))
        self._away = True

    async def _connected(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Errors(self), remote_addr=self._address
            )
        return self._transport


class _Errors(asyncio.DatagramProtocol):
    """What the network says of datagrams that went out before."""

    def __init__(self, sink: DogStatsdSink) -> None:
        self._sink = sink

    def error_received(self, exc: Exception) -> None:
        self._sink.is_away(exc)


def tagged(first: Sequence[str], extra: Sequence[str], mogrifiers: Sequence[Mogrifier]) -> Write:
    """Lines of DogStatsD, with the tags `first` and `extra` in each."""

    @lru_cache(NAMES_MAX)
    def parts(name: str) -> tuple[str, str]:
        plain, own = split_tags(name)
        changed, more = mogrified(plain, mogrifiers)
        sorted_tags = sorted((*extra, *(tag.replace("=", ":", 1) for tag in own)))
        all_tags = ",".join((*first, *sorted_tags, *more)).replace("\n", "")
        return changed, f"|#{all_tags}" if all_tags else ""

    def write(name: str, value: str) -> str:
        changed, all_tags = parts(name)
        return f"{changed}:{value}{all_tags}"

    return write


def from_container(origin: str, write: Write) -> Write:
    """Lines that say where they come from."""
    return lambda name, value: f"{write(name, value)}|c:{origin}"


def mogrified(name: str, mogrifiers: Sequence[Mogrifier]) -> tuple[str, tuple[str, ...]]:
    """What the first mogrifier that is found in `name` makes of it, and the tags that it gives; else `name` alone."""
    for mogrifier in mogrifiers:
        found = mogrifier.pattern.search(name)
        if found is not None:
            tags = tuple(f"{key}:{_filled(text, found)}" for key, text in mogrifier.tags.items())
            return _filled(mogrifier.name, found), tags
    return name, ()


def extra_tags(tags: dict[str, str]) -> tuple[str, ...]:
    """EXTRA_TAGS, sorted by key, with the characters that statsd's names may have."""
    return tuple(f"{sanitise(key)}:{sanitise(value).replace('.', '_')}" for key, value in sorted(tags.items()))


def _filled(template: str, found: re.Match[str]) -> str:
    """`template` with the parts of a match for `$1` and the like; a number that the pattern has not stays as it is."""

    def part(placeholder: re.Match[str]) -> str:
        number = int(placeholder[1])
        return (found[number] or "") if number <= found.re.groups else placeholder[0]

    return _PART.sub(part, template)
