"""HTTP for people and probes, on three addresses as envoyproxy/ratelimit has them.

HOST:PORT                /healthcheck, /json
DEBUG_HOST:DEBUG_PORT    /, /rlconfig, /stats, /metrics
PROMETHEUS_ADDR          PROMETHEUS_PATH
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ratelimit.errors import RpcError
from ratelimit.metrics import Metrics
from ratelimit.metrics.lines import stat_lines
from ratelimit.metrics.prometheus import exposition
from ratelimit.service.health import Health
from ratelimit.service.messages import request_bytes_from_json, response_json
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.settings import Settings

BODY_BYTES_MAX = 1024 * 1024
SHUTDOWN_S = 1.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AdminViews:
    """What the pages show."""

    service: RateLimitService
    health: Health
    metrics: Metrics


class AdminServer:
    """The HTTP listeners of one process; `ports` maps http, debug and metrics to what was bound."""

    def __init__(self, settings: Settings, views: AdminViews) -> None:
        self._settings = settings
        self._views = views
        self._runners: list[web.AppRunner] = []
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector(registry=None), PlatformCollector(registry=None)):
            self._registry.register(collector)
        self.ports: dict[str, int] = {}

    async def start(self) -> None:
        """Bind all listeners. Raises OSError naming the variables of one that cannot be bound."""
        server, metrics = self._settings.server, self._settings.metrics
        api = {"/healthcheck": self._healthcheck, "/json": self._json}
        await self._listen("http", api, (server.host, server.port), "HOST, PORT")
        pages = {"/": self._index, "/rlconfig": self._rlconfig, "/stats": self._stats, "/metrics": self._metrics}
        await self._listen("debug", pages, (server.debug_host, server.debug_port), "DEBUG_HOST, DEBUG_PORT")
        if not metrics.prometheus_on:
            return
        host, _, port = metrics.prometheus_addr.rpartition(":")
        try:
            address = (host.strip("[]") or "0.0.0.0", int(port))
            await self._listen("metrics", {metrics.prometheus_path: self._metrics}, address, "PROMETHEUS_ADDR")
        except (OSError, ValueError) as error:
            if metrics.use_prometheus:
                raise OSError(f"PROMETHEUS_ADDR: {error}") from None
            _log.warning("metrics are served on the debug port only", reason=str(error))

    async def close(self) -> None:
        """Stop listening and let requests end."""
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))

    async def _listen(self, name: str, routes: Mapping[str, Handler], address: tuple[str, int], variables: str) -> None:
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        for path, handler in routes.items():
            app.router.add_route("*", path, handler)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        self._runners.append(runner)
        host, port = address
        try:
            await web.TCPSite(runner, host, port, reuse_port=True).start()
        except OSError as error:
            raise OSError(f"cannot listen on {host}:{port} ({variables}): {error.strerror or error}") from None
        self.ports[name] = runner.addresses[0][1]

    async def _healthcheck(self, _: web.Request) -> web.Response:
        if self._views.health.healthy:
            return web.Response(text="OK")
        return web.Response(status=500, text="not healthy\n")

    async def _json(self, request: web.Request) -> web.Response:
        """Answer a request in JSON; whatever goes wrong is 400, as the reference has it."""
        try:
            message = request_bytes_from_json(await request.read())
            answer = await self._views.service.ask(message)
        except (RpcError, web.HTTPRequestEntityTooLarge):
            return web.Response(status=400, text="Bad Request\n")
        over_limit, text = response_json(answer)
        return web.Response(status=429 if over_limit else 200, body=text, content_type="application/json")

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(
            text="/rlconfig: the limits in force\n/stats: every counter\n/metrics: the same for Prometheus\n"
        )

    async def _rlconfig(self, _: web.Request) -> web.Response:
        config = self._views.service.config
        return web.Response(text=config.dump() if config else "")

    async def _stats(self, _: web.Request) -> web.Response:
        return web.Response(text="".join(stat_lines(self._views.metrics.snapshot())))

    async def _metrics(self, _: web.Request) -> web.Response:
        text = b"".join(exposition(self._views.metrics.snapshot())) + generate_latest(self._registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})
