"""HTTP for people and probes, on three addresses as envoyproxy/ratelimit has them.

HOST:PORT                /healthcheck, /json
DEBUG_HOST:DEBUG_PORT    / (the page, or a list), /explain, /rlqs, /rlconfig, /stats, /metrics, /debug
PROMETHEUS_ADDR          PROMETHEUS_PATH
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from pathlib import Path

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ratelimit.admin.debug_pages import DebugPages
from ratelimit.admin.explain_page import ExplainPage
from ratelimit.admin.json_api import JsonApi
from ratelimit.admin.json_budget import BODY_BYTES_MAX
from ratelimit.admin.listener import Bounds, Handler, HttpListener
from ratelimit.admin.live_page import AdminViews, LivePage
from ratelimit.admin.pieces import in_pieces
from ratelimit.admin.quota_page import QuotaPage
from ratelimit.metrics import Snapshot, tags_suffix
from ratelimit.metrics.lines import stat_lines
from ratelimit.metrics.mapped import MappedExposition
from ratelimit.metrics.mapper import Mapper, read_mapper
from ratelimit.metrics.prometheus import exposition
from ratelimit.settings import MetricsSettings, Settings
from ratelimit.settings.addresses import host_and_port, joined

# A scrape holds a snapshot while it is written; so many hold one at a time, and others wait.
SCRAPES_AT_ONCE = 2
LINES_AT_ONCE = 500
TEXT = "text/plain; charset=utf-8"

_log = structlog.get_logger(__name__)


class AdminServer:
    """The HTTP listeners of one process; `ports` maps http, debug and metrics to what was bound."""

    def __init__(self, settings: Settings, views: AdminViews) -> None:
        self._settings = settings
        self._views = views
        self._json = JsonApi(views.service)
        self._debug = DebugPages()
        self._explain = ExplainPage(settings, views.service)
        self._page = LivePage(settings, views)
        self._quota = QuotaPage(views.quota)
        self._listeners: list[HttpListener] = []
        self._exposition = _exposition(settings.metrics)
        self._process = CollectorRegistry()
        for collector in (ProcessCollector(registry=None), PlatformCollector(registry=None)):
            self._process.register(collector)
        self._scrapes = asyncio.Semaphore(SCRAPES_AT_ONCE)
        self.ports: dict[str, int] = {}

    async def start(self) -> None:
        """Bind all listeners. Raises OSError naming the variables of one that cannot be bound."""
        server, metrics = self._settings.server, self._settings.metrics
        api = {"/healthcheck": self._healthcheck, "/json": self._json.handle}
        await self._listen("http", api, (server.host, server.port), "HOST, PORT")
        pages: Mapping[str, Handler] = {
            "/rlconfig": self._rlconfig,
            "/stats": self._stats,
            "/metrics": self._metrics,
            "/explain": self._explain.handle,
            "/rlqs": self._quota.handle,
            **self._page.routes,
            **self._debug.routes,
        }
        await self._listen("debug", pages, (server.debug_host, server.debug_port), "DEBUG_HOST, DEBUG_PORT")
        if not self._settings.prometheus_on:
            return
        address = host_and_port(metrics.prometheus_addr)
        try:
            await self._listen("metrics", {metrics.prometheus_path: self._metrics}, address, "PROMETHEUS_ADDR")
        except OSError as error:
            if metrics.use_prometheus:
                raise
            _log.warning("metrics are served on the debug port only", reason=str(error))

    async def close(self) -> None:
        """Stop listening and let requests end."""
        self._debug.close()
        await self._page.close()
        await asyncio.gather(*(listener.close() for listener in self._listeners))

    async def _listen(self, name: str, routes: Mapping[str, Handler], address: tuple[str, int], variables: str) -> None:
        server = self._settings.server
        bounds = Bounds(server.http_connections_max, server.http_header_timeout, BODY_BYTES_MAX)
        listener = HttpListener(routes, bounds, self._views.metrics.http)
        host, port = address
        try:
            await listener.start(host, port, reuse_port=server.reuse_port)
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"cannot listen on {joined(host, port)} ({variables}): {reason}") from None
        self._listeners.append(listener)
        self.ports[name] = listener.port

    async def _healthcheck(self, _: web.Request) -> web.Response:
        if self._views.health.healthy:
            return web.Response(text="OK")
        return web.Response(status=500)

    async def _rlconfig(self, request: web.Request) -> web.StreamResponse:
        config = self._views.service.config
        lines = config.lines() if config else iter(())
        pieces = iter(lambda: "".join(f"{line}\n" for line in islice(lines, LINES_AT_ONCE)).encode(), b"")
        return await in_pieces(request, pieces, TEXT)

    async def _stats(self, request: web.Request) -> web.StreamResponse:
        async with self._scrapes:
            lines = stat_lines(self._views.metrics.snapshot())
            return await in_pieces(request, (text.encode() for text in lines), TEXT)

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        async with self._scrapes:
            ours = self._exposition(self._views.metrics.snapshot())
            return await in_pieces(request, chain(ours, self._process_metrics()), CONTENT_TYPE_LATEST)

    def _process_metrics(self) -> Iterator[bytes]:
        yield generate_latest(self._process)


def _exposition(settings: MetricsSettings) -> Callable[[Snapshot], Iterator[bytes]]:
    """How metrics are written. A mapping file that cannot be used maps nothing, as in the reference, and that is told.

    Nothing about metrics shall keep calls from being answered.
    """
    path = settings.prometheus_mapper_yaml
    if not path:
        in_ms = settings.prometheus_response_time_as_milliseconds
        return partial(exposition, response_time_in_ms=in_ms)
    mapper = Mapper()
    try:
        mapper = read_mapper(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        _log.error("PROMETHEUS_MAPPER_YAML cannot be used: no name is mapped", file=path, error=str(error))
    return MappedExposition(mapper, tags_suffix(settings.extra_tags))
