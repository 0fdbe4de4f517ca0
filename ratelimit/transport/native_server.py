"""Our own gRPC server on asyncio, behind the seam of methods.py: listeners, connections, and an end without an error.

An end takes who is on its way in first, and nobody more: a client that is asked to go elsewhere would only come back.
Each client is asked in two steps, so that no call which crosses the first one on its way is lost.
"""

import asyncio
import math
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from ratelimit.metrics import GrpcStats
from ratelimit.settings import ServerSettings
from ratelimit.settings.addresses import joined
from ratelimit.sockets import listening_sockets, refuse_newcomers, remove_unix_socket, unix_socket
from ratelimit.transport.grpc import PREFIX_BYTES, CallHead
from ratelimit.transport.housekeeping import Caps
from ratelimit.transport.method_table import MethodTable
from ratelimit.transport.methods import DirectMethod, InStep
from ratelimit.transport.native_connection import NativeConnection, Patience
from ratelimit.transport.servicer_streams import MESSAGE_COST_BYTES
from ratelimit.transport.tls import CertificateFiles, client_is_allowed, serving_context

BACKLOG = 1024
# So long those who have begun to connect are taken in.
ACCEPT_S = 0.01
SECOND_S = 1.0
VIOLATIONS_TOLD_MAX = 50
# Even without a grace: an answer that is on its way is no reason to cancel its call.
HOLD_S = 0.1
# What answers need to reach the socket once everything is decided.
ANSWER_S = 0.5
_AGE_SPREAD = 0.1
# What may lie in unfinished requests of one connection, however small messages have to be.
BUFFERED_BYTES_MIN = 16 * 1024 * 1024

_log = structlog.get_logger(__name__)


class NativeServer:
    """A `GrpcServer` over transport/connection.py. Made inside the running event loop."""

    def __init__(self, settings: ServerSettings, stats: GrpcStats | None = None, *, traced: bool = False) -> None:
        self._settings = settings
        self._traced = traced
        self.stats = stats or GrpcStats()
        self._violations_told: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._table = MethodTable()
        self.caps = _caps(settings)
        self._patience = _patience(settings)
        self._files = CertificateFiles(settings) if settings.grpc_server_use_tls else None
        self._listeners: list[asyncio.Server] = []
        self._open: set[NativeConnection] = set()
        self._with_output: list[NativeConnection] = []
        self._seconds: asyncio.TimerHandle | None = None
        self._stopping = False
        self._told_of_san = False
        self._nobody = asyncio.Event()
        self._nobody.set()
        self.port = 0

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._open)

    def add_direct_method(self, path: str, method: DirectMethod) -> None:
        """Serve `path` by a direct method."""
        self._table.add_direct(path, method)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[Any]) -> None:
        """As `grpc.aio.Server.add_generic_rpc_handlers`."""
        self._table.add_generic(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """As `grpc.aio.Server.add_registered_method_handlers`."""
        self._table.add_registered(service_name, method_handlers)

    async def start(self) -> None:
        """Bind and accept. Raises OSError naming the address."""
        tls: dict[str, Any] = {}
        if self._files is not None:
            tls = {"ssl": serving_context(self._files), "ssl_handshake_timeout": self._settings.grpc_handshake_timeout}
        for one in await self._sockets():
            listener = await self._loop.create_server(self._accepted, sock=one, backlog=BACKLOG, **tls)
            self._listeners.append(listener)
        self._seconds = self._loop.call_later(SECOND_S, self._second)

    async def stop(self, grace_s: float, in_step: InStep | None = None) -> None:
        """Ask every client to go elsewhere, answer what is open for at most `grace_s` seconds, then close.

        May be called again with a shorter grace. Servers in step send nobody away while one of them still listens.
        """
        await self._accept_no_more()
        if in_step is not None:
            await in_step()
        self._stopping = True
        for connection in list(self._open):
            connection.drain()
        try:
            if not await self._left(max(grace_s, HOLD_S)):
                for connection in list(self._open):
                    connection.give_up()
                await self._left(ANSWER_S)
        finally:
            await self._close()

    def judge(self, fields: Mapping[bytes, bytes]) -> CallHead:
        """What a request's head means, and who serves it."""
        return self._table.judge(fields)

    def has_output(self, connection: NativeConnection) -> None:
        """Flush it before this turn of the loop ends."""
        if not self._with_output:
            self._loop.call_soon(self.flush)
        self._with_output.append(connection)

    def opened(self, connection: NativeConnection) -> bool:
        """Take a connection in, where there is room."""
        if len(self._open) >= self._settings.grpc_max_connections or not self._allowed(connection):
            self.stats.cx_refused += 1
            return False
        self.stats.cx_total += 1
        self.stats.cx_active += 1
        self._open.add(connection)
        self._nobody.clear()
        if self._stopping:
            self._loop.call_soon(connection.drain)
        return True

    def closed(self, connection: NativeConnection) -> None:
        """It is gone."""
        if connection in self._open:
            self.stats.cx_active -= 1
        self._open.discard(connection)
        if not self._open:
            self._nobody.set()

    def violated(self, connection: NativeConnection, reason: str) -> None:
        """Count a client that broke the rules, and tell of the first one of each kind."""
        self.stats.cx_violations += 1
        if reason not in self._violations_told and len(self._violations_told) < VIOLATIONS_TOLD_MAX:
            self._violations_told.add(reason)
            _log.warning(
                "a client broke HTTP/2 and was sent away; more of the same are only counted",
                reason=reason,
                client=connection.peer,
            )

    def _allowed(self, connection: NativeConnection) -> bool:
        san = self._settings.grpc_client_tls_san
        if self._files is None or not san or client_is_allowed(connection.auth_context, san):
            return True
        if not self._told_of_san:
            _log.warning("a client is refused: its certificate does not carry GRPC_CLIENT_TLS_SAN; told once")
        self._told_of_san = True
        return False

    async def _accept_no_more(self) -> None:
        """Take in who has connected already, then close the listeners."""
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            for one in listener.sockets:
                refuse_newcomers(one.fileno())
        try:
            if listeners:
                await asyncio.sleep(ACCEPT_S)
        finally:
            for listener in listeners:
                listener.close()
            if self._settings.grpc_uds and listeners:
                remove_unix_socket(self._settings.grpc_uds)

    async def _left(self, within_s: float) -> bool:
        """Wait until nobody is connected."""
        try:
            await asyncio.wait_for(self._nobody.wait(), within_s)
        except TimeoutError:
            return False
        return True

    async def _close(self) -> None:
        if self._seconds is not None:
            self._seconds.cancel()
        for connection in list(self._open):
            connection.cut()
        await asyncio.sleep(0)

    async def _sockets(self) -> list[socket.socket]:
        settings = self._settings
        if settings.grpc_uds:
            where = f"{settings.grpc_uds} (GRPC_UDS)"
        else:
            where = f"{joined(settings.grpc_host, settings.grpc_port)} (GRPC_HOST, GRPC_PORT)"
        try:
            if settings.grpc_uds:
                return [unix_socket(settings.grpc_uds, BACKLOG)]
            sockets = await listening_sockets(settings.grpc_host, settings.grpc_port, reuse_port=settings.reuse_port)
        except OSError as error:
            raise OSError(f"cannot listen for gRPC on {where}: {error.strerror or error}") from None
        self.port = sockets[0].getsockname()[1]
        return sockets

    def _accepted(self) -> NativeConnection:
        connection = NativeConnection(self, _aged(self._patience))
        if self._traced:
            connection.read_parents()
        return connection

    def flush(self) -> None:
        """Write what there is for each client, once."""
        connections, self._with_output = self._with_output, []
        for connection in connections:
            connection.flush()

    def _second(self) -> None:
        self._seconds = self._loop.call_later(SECOND_S, self._second)
        now = self._loop.time()
        for connection in list(self._open):
            connection.second(now)


def _caps(settings: ServerSettings) -> Caps:
    # The largest message that is allowed has to fit, with what it takes while it waits for its method.
    message_held_bytes = settings.grpc_max_recv_msg_bytes + PREFIX_BYTES + MESSAGE_COST_BYTES
    return Caps(
        buffered_bytes_max=max(BUFFERED_BYTES_MIN, message_held_bytes),
        streams_max=settings.grpc_max_concurrent_streams,
        message_bytes_max=settings.grpc_max_recv_msg_bytes,
        header_bytes_max=settings.grpc_max_header_bytes,
        header_fields_max=settings.grpc_max_header_fields,
        control_frames_max=settings.grpc_max_control_frames,
        glitches_max=settings.grpc_max_glitches,
    )


def _patience(settings: ServerSettings) -> Patience:
    return Patience(
        handshake_s=settings.grpc_handshake_timeout,
        keepalive_s=settings.grpc_keepalive_time or math.inf,
        keepalive_answer_s=settings.grpc_keepalive_timeout,
        stalled_write_s=settings.grpc_write_timeout,
        outbound_bytes_max=settings.grpc_max_outbound_bytes,
        age_s=settings.grpc_max_connection_age or math.inf,
        age_grace_s=settings.grpc_max_connection_age_grace or math.inf,
    )


def _aged(patience: Patience) -> Patience:
    """Ages a little apart: clients that came together must not all go at once."""
    if patience.age_s == math.inf:
        return patience
    return replace(patience, age_s=patience.age_s * random.uniform(1 - _AGE_SPREAD, 1 + _AGE_SPREAD))  # noqa: S311
