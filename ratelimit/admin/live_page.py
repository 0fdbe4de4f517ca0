"""/ on the debug port: for a browser the page, for whoever does not ask for HTML the list of what is there.

/                what the Accept header asks for
/page.js, …      its files, as they lie in the package
/page/limits     the limits in force, as lines of JSON (limit_rows.py)
/page/events     what changes, as server-sent events (live_numbers.py, event_stream.py)
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import Protocol

from aiohttp import web

from ratelimit.admin.debug_pages import INDEX
from ratelimit.admin.event_stream import EventStream
from ratelimit.admin.json_api import Configured
from ratelimit.admin.limit_rows import LimitRows
from ratelimit.admin.listener import Handler, plain_error
from ratelimit.admin.live_numbers import LiveNumbers, Watched, keys_event
from ratelimit.admin.loads import Loads
from ratelimit.admin.pieces import in_pieces
from ratelimit.admin.quota_page import QuotaView
from ratelimit.clock import Clock, SystemClock
from ratelimit.metrics import Metrics
from ratelimit.settings import Settings

LIST = (
    "/explain: why a request is limited, or is not\n/rlconfig: the limits in force\n"
    "/rlqs: who has what share of a divided limit\n"
    f"/stats: every counter\n/metrics: the same for Prometheus\n{INDEX}"
)
LIMITS_AT_ONCE = 2
KEYS_EVERY_S = 1.0
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
# Where each file lies below `page/` in the package.
FILES = (
    "page.js",
    "page.css",
    "page.svg",
    "page/chart.js",
    "page/panels.js",
    "page/quota.js",
    "page/rates.js",
    "page/tree.js",
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Healthy(Protocol):
    """Who knows whether calls are welcome."""

    @property
    def healthy(self) -> bool:
        """Whether they are."""


@dataclass(frozen=True, slots=True)
class AdminViews:
    """What the pages show."""

    service: Configured
    health: Healthy
    metrics: Metrics
    watched: Watched
    loads: Loads = field(default_factory=Loads)
    quota: QuotaView | None = None


class LivePage:
    """The page, and what it is told while it is open."""

    def __init__(self, settings: Settings, views: AdminViews, clock: Clock | None = None) -> None:
        self._views = views
        self._clock = clock or SystemClock()
        self._about: dict[str, object] = {
            "store": settings.limiter.backend_type,
            "topology": settings.redis.redis_type.upper(),
            "divided": views.quota is not None,
        }
        self._files = {name: _read(name) for name in (*FILES, "page.html")}
        self._turns = asyncio.Semaphore(LIMITS_AT_ONCE)
        self._rows: LimitRows | None = None
        self._numbers: LiveNumbers | None = None
        self._keys_at = 0.0
        self.stream = EventStream(self)

    @property
    def routes(self) -> Mapping[str, Handler]:
        """Path -> handler."""
        names = {f"/{name}": partial(self._file, name) for name in FILES}
        return {"/": self._root, "/page/limits": self._limits, "/page/events": self.stream.handle, **names}

    async def close(self) -> None:
        """End the streams."""
        await self.stream.close()

    def opened(self) -> None:
        """Begin to watch."""
        self._numbers = LiveNumbers(self._views.metrics, self._views.loads)
        self._keys_at = self._clock.now()
        self._views.watched.watch_keys(on=True)

    def closed(self) -> None:
        """Watch no more, and keep nothing."""
        self._numbers = None
        self._views.watched.watch_keys(on=False)

    def pieces(self) -> Iterator[bytes]:
        """The events of one tick; the state comes last."""
        numbers, watched = self._numbers, self._views.watched
        assert numbers is not None  # noqa: S101 - it is open
        rows = self._rows_now()
        if rows is not None and rows is not numbers.rows:
            for _ in rows.build():
                yield b""
            numbers.begin(rows)
        yield from numbers.changes()
        now = self._clock.now()
        if not 0 <= now - self._keys_at < KEYS_EVERY_S:
            self._keys_at = now
            yield keys_event(watched.key_rates())
        healthy, workers = self._views.health.healthy, watched.worker_states
        yield numbers.state(now, {**self._about, "healthy": healthy, "workers": workers})

    def known(self) -> Iterator[bytes]:
        """What was told so far."""
        numbers = self._numbers
        assert numbers is not None  # noqa: S101 - likewise
        yield from numbers.known()

    def _rows_now(self) -> LimitRows | None:
        """The rows of the configuration in force: another number for another configuration, also after a restart."""
        config = self._views.service.config
        if config is None:
            return None
        if self._rows is None or self._rows.config is not config:
            before = 0 if self._rows is None else self._rows.number
            self._rows = LimitRows(config, max(before + 1, int(self._clock.now() * 1000)))
        return self._rows

    async def _root(self, request: web.Request) -> web.Response:
        if "text/html" in request.headers.get("Accept", "") and request.method in {"GET", "HEAD"}:
            return await self._file("page.html", request)
        return web.Response(text=LIST, headers={"Vary": "Accept"})

    async def _file(self, name: str, request: web.Request) -> web.Response:
        if request.method not in {"GET", "HEAD"}:
            return plain_error(405, "GET is wanted\n", {"Allow": "GET, HEAD"})
        headers = {**HEADERS, "Vary": "Accept"} if name == "page.html" else HEADERS
        kind = _TYPES[name.rpartition(".")[2]]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8", headers=headers)

    async def _limits(self, request: web.Request) -> web.StreamResponse:
        rows = self._rows_now()
        lines = iter((b'{"tree":0,"limits":0}\n',)) if rows is None else rows.lines()
        async with self._turns:
            return await in_pieces(request, lines, "application/x-ndjson", HEADERS)


def _read(name: str) -> bytes:
    return files("ratelimit.admin").joinpath("page", name.removeprefix("page/")).read_bytes()
