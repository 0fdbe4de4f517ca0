"""One HTTP listener: aiohttp's server behind a guard that bounds connections and the time they may be silent.

aiohttp waits for a request as long as the connection lasts, and takes every connection that comes. So each of its
protocols is wrapped:

    waiting   for the header of a request, or for its body: each ended after the header timeout, counted from the
              connect or from the first byte of the next request; without a byte after an answer, after KEEPALIVE_S
    busy      a request is being answered: ended after BUSY_S, whatever it does; a handler that reads a body says by
              `body_is_read` when that begins

Beyond the cap the connection that waits longest makes room; where none waits, the new one is closed at once. So
silent connections cannot keep a probe out. A process without file descriptors is no end either: uvloop (libuv) then
takes and closes what waits to be accepted, asyncio pauses accepting for a second.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ratelimit.metrics import HttpStats
from ratelimit.sockets import BACKLOG, listening_sockets

BUSY_S = 30.0
KEEPALIVE_S = 75.0
SHUTDOWN_S = 1.0
# The guard of the request that the current task answers.
_guard: ContextVar["_Guard"] = ContextVar("guard")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one listener takes at most."""

    connections_max: int
    header_timeout_s: float
    body_bytes_max: int


class HttpListener:
    """Serves `routes` (path -> handler, any method) on the sockets of one address."""

    def __init__(self, routes: Mapping[str, Handler], bounds: Bounds, stats: HttpStats) -> None:
        app = web.Application(client_max_size=bounds.body_bytes_max, middlewares=[self._track])
        for path, handler in routes.items():
            app.router.add_route("*", path, handler)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_S,
            # Decompression is bounded by whoever reads a body.
            auto_decompress=False,
            logger=_client_errors_aside(),
        )
        self._servers: list[asyncio.Server] = []
        self.port = 0
        self.bounds = bounds
        self.stats = stats
        self._guards: dict[asyncio.BaseTransport, _Guard] = {}
        # Those that wait for a request, the longest waiting first.
        self._waiting: dict[_Guard, None] = {}
        self._crowded = False

    async def start(self, host: str, port: int, *, reuse_port: bool) -> None:
        """Bind and accept. Raises OSError."""
        sockets = await listening_sockets(host, port, reuse_port=reuse_port)
        self.port = sockets[0].getsockname()[1]
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(lambda: _Guard(self), sock=one, backlog=BACKLOG) for one in sockets]

    async def close(self) -> None:
        """Stop listening, and let requests end for a moment."""
        for server in self._servers:
            server.close()
        await self._runner.cleanup()
        for guard in list(self._guards.values()):
            guard.abort()

    def admit(self, guard: "_Guard", transport: asyncio.BaseTransport) -> asyncio.Protocol | None:
        """Give a new connection the protocol of aiohttp; None where there is no room."""
        server = self._runner.server
        if server is None:
            return None
        if len(self._guards) >= self.bounds.connections_max:
            self._tell(crowded=True)
            self.stats.cx_refused += 1
            if not self._waiting:
                return None
            next(iter(self._waiting)).abort()
        self._guards[transport] = guard
        self.stats.cx_active += 1
        return server()

    def forget(self, guard: "_Guard", transport: asyncio.BaseTransport) -> None:
        """A connection that was admitted counts no more."""
        self._waiting.pop(guard, None)
        if self._guards.pop(transport, None) is not None:
            self.stats.cx_active -= 1
        if len(self._guards) <= self.bounds.connections_max // 2:
            self._tell(crowded=False)

    def waits(self, guard: "_Guard") -> None:
        """`guard` waits for a request from now on."""
        self._waiting.pop(guard, None)
        self._waiting[guard] = None

    def waits_no_more(self, guard: "_Guard") -> None:
        """`guard` has its request."""
        self._waiting.pop(guard, None)

    def _tell(self, *, crowded: bool) -> None:
        """Log a change once: a flood of connections must not be a flood of lines."""
        if crowded == self._crowded:
            return
        self._crowded = crowded
        if crowded:
            bound = self.bounds.connections_max
            _log.warning("HTTP_CONNECTIONS_MAX is reached: silent connections make room", port=self.port, bound=bound)
        else:
            _log.warning("HTTP connections are few again", port=self.port)

    @web.middleware
    async def _track(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        guard = None if request.transport is None else self._guards.get(request.transport)
        if guard is None:
            return await _answer(request, handler)
        _guard.set(guard)
        if request.can_read_body:
            guard.header_is_read()
        else:
            guard.busy()
        try:
            return await _answer(request, handler)
        finally:
            guard.answered()


class _Guard(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol, and ends the connection when its time is over."""

    def __init__(self, listener: HttpListener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._inner: asyncio.Protocol | None = None
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self._between_requests = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._inner = self._listener.admit(self, transport)
        if self._inner is None:
            self._transport.abort()
            return
        self._wait(self._listener.bounds.header_timeout_s)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            return
        if self._between_requests:
            # The next request begins; its header has the same time as the first one's.
            self._between_requests = False
            self._wait(self._listener.bounds.header_timeout_s)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._inner else None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        if self._inner is not None:
            self._listener.forget(self, self._transport)
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()

    def header_is_read(self) -> None:
        """A body follows, and has as much time."""
        self._between_requests = False
        self._wait(self._listener.bounds.header_timeout_s)

    def busy(self, more_s: float = 0.0) -> None:
        """A request is being answered, for BUSY_S and so much more at most."""
        self._between_requests = False
        self._listener.waits_no_more(self)
        self._start_timer(BUSY_S + more_s)

    def answered(self) -> None:
        """The handler is done; what it said may still be on its way."""
        if not self._transport.is_closing():
            self._between_requests = True
            self._wait(KEEPALIVE_S)

    def abort(self) -> None:
        """End the connection at once."""
        self._listener.forget(self, self._transport)
        self._transport.abort()

    def _wait(self, seconds: float) -> None:
        self._listener.waits(self)
        self._start_timer(seconds)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(seconds, self._time_is_over)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_over(self) -> None:
        if not self._between_requests:
            self._listener.stats.cx_timeouts += 1
        self.abort()


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What `handler` answers; nobody's path is told as Go's mux tells it."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return plain_error(404, "404 page not found\n")


def plain_error(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as Go's http.Error writes it."""
    told = {"X-Content-Type-Options": "nosniff", **(headers or {})}
    return web.Response(status=status, text=text, content_type="text/plain", charset="utf-8", headers=told)


def body_is_read() -> None:
    """Tell that a handler has its whole request: its connection makes room for no other until it is answered."""
    guard = _guard.get(None)
    if guard is not None:
        guard.busy()


def takes_longer(more_s: float) -> None:
    """Tell that a handler needs so many seconds more than BUSY_S; it has its whole request."""
    guard = _guard.get(None)
    if guard is not None:
        guard.busy(more_s)


def _client_errors_aside() -> logging.Logger:
    """Give aiohttp a logger without its tracebacks for bytes that are no HTTP: whoever sends them would fill it."""
    logger = logging.getLogger("ratelimit.http")
    if not logger.filters:
        logger.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
    return logger
