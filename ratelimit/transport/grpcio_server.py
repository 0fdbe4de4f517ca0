"""The gRPC server of grpcio (`grpc.aio`), behind the seam of methods.py."""

import asyncio
import errno
import math
import os
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio

from ratelimit.errors import RpcError
from ratelimit.settings import ServerSettings
from ratelimit.settings.addresses import joined
from ratelimit.sockets import is_served
from ratelimit.transport.awaited_call import AwaitedCall
from ratelimit.transport.methods import DirectMethod, InStep
from ratelimit.transport.open_calls import EndingHandler, OpenCalls
from ratelimit.transport.tls import client_is_allowed, server_credentials
from ratelimit.transport.trace_fields import Caller, parent_of

# What answers need to reach the socket once everything is decided.
ANSWER_S = 0.5
# GOAWAY is written by the library's own threads: answers wait so long that it stands before them, since whoever is
# answered asks again.
GOAWAY_S = 0.02


class GrpcioServer:
    """A `GrpcServer` over grpcio."""

    def __init__(self, settings: ServerSettings, *, traced: bool = False) -> None:
        self._settings = settings
        self._traced = traced
        self._server = grpc.aio.server(options=_options(settings))
        self._open = OpenCalls()
        self._stops: list[asyncio.Future[None]] = []
        self.port = 0

    @property
    def connections(self) -> int | None:
        """None: this library does not tell."""
        return None

    def add_direct_method(self, path: str, method: DirectMethod) -> None:
        """Serve `path` with raw bytes in and out."""
        _, service, name = path.split("/")
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(self._unary(method))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """As `grpc.aio.Server.add_generic_rpc_handlers`."""
        self._server.add_generic_rpc_handlers([EndingHandler(handler, self._open) for handler in generic_rpc_handlers])

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """As `grpc.aio.Server.add_registered_method_handlers`."""
        handlers = {name: self._open.ending(handler) for name, handler in method_handlers.items()}
        self._server.add_registered_method_handlers(service_name, handlers)

    async def start(self) -> None:
        """Bind and accept. Raises OSError naming the address."""
        settings = self._settings
        if settings.grpc_uds:
            address, where = f"unix:{settings.grpc_uds}", f"{settings.grpc_uds} (GRPC_UDS)"
            if is_served(settings.grpc_uds):
                # grpcio would take the socket's file away from whoever serves it.
                raise _cannot_listen(where, os.strerror(errno.EADDRINUSE))
        else:
            address = joined(settings.grpc_host, settings.grpc_port)
            where = f"{address} (GRPC_HOST, GRPC_PORT)"
        try:
            if settings.grpc_server_use_tls:
                self.port = self._server.add_secure_port(address, server_credentials(settings))
            else:
                self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise _cannot_listen(where, _reason(settings) or str(error)) from None
        await self._server.start()

    async def stop(self, grace_s: float, in_step: InStep | None = None) -> None:
        """Refuse new calls, let open ones be answered for at most `grace_s` seconds, then close.

        Streams end with UNAVAILABLE at once, calls without an answer after the grace. May be called again with a
        shorter grace. Without any grace, what is answered already still goes out: at most HOLD_S_MAX later.

        Servers in step hold their answers until all are quiet, and until none of them listens any more.
        """
        self._open.end_streams()
        try:
            await self._open.hold()
            if in_step is not None:
                await in_step()
            stopping = asyncio.ensure_future(self._server.stop(grace_s + ANSWER_S))
            self._stops.append(stopping)  # it goes on when this coroutine is cancelled for a shorter grace
            await asyncio.sleep(GOAWAY_S)
            if in_step is not None:
                await in_step()
        finally:
            self._open.release()
        done, _ = await asyncio.wait((stopping,), timeout=grace_s)
        if not done:
            self._open.fail()
        await asyncio.shield(stopping)

    def flush(self) -> None:
        """Nothing waits: this library writes each answer by itself."""

    def _unary(self, method: DirectMethod) -> "Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Awaitable[bytes]]":
        san = self._settings.grpc_client_tls_san

        async def serve(message: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
            if san and not client_is_allowed(context.auth_context(), san):
                reason = "the client certificate does not carry GRPC_CLIENT_TLS_SAN"
                await context.abort(grpc.StatusCode.UNAVAILABLE, reason)
            head = Caller(parent_of(_fields(context))) if self._traced else None
            call = AwaitedCall(_deadline(context), head, context.peer())
            answer = await self._open.serve(method, message, call)
            if isinstance(answer, RpcError):
                await context.abort(grpc.StatusCode[answer.grpc_status.name], answer.details)
            return answer

        return serve


def _cannot_listen(where: str, reason: str) -> OSError:
    return OSError(f"cannot listen for gRPC on {where}: {reason}")


def _reason(settings: ServerSettings) -> str:
    """Why the port cannot be bound: grpcio only says that it cannot, so the system is asked once more."""
    if settings.grpc_uds:
        return ""
    family = socket.AF_INET6 if ":" in settings.grpc_host else socket.AF_INET
    try:
        socket.create_server((settings.grpc_host, settings.grpc_port), family=family).close()
    except (OSError, ValueError) as error:
        # Python's own text repeats the address.
        return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return ""


def _deadline(context: "grpc.aio.ServicerContext[Any, Any]") -> float:
    """When the caller stops waiting, in the event loop's time."""
    left = context.time_remaining()
    return math.inf if left is None else asyncio.get_running_loop().time() + left


def _fields(context: "grpc.aio.ServicerContext[Any, Any]") -> Iterator[tuple[bytes, bytes]]:
    for key, value in context.invocation_metadata() or ():
        yield key.encode(), value if isinstance(value, bytes) else value.encode()


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        # Without REUSE_PORT a second instance on the port is an error, not a silent half of the traffic.
        ("grpc.so_reuseport", int(settings.reuse_port)),
        ("grpc.max_receive_message_length", settings.grpc_max_recv_msg_bytes),
        ("grpc.max_connection_age_ms", _ms(settings.grpc_max_connection_age)),
        ("grpc.max_connection_age_grace_ms", _ms(settings.grpc_max_connection_age_grace)),
        # Envoy's connection_keepalive may ping every second: that is no abuse.
        ("grpc.http2.min_ping_interval_without_data_ms", 100),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _ms(seconds: float) -> int:
    return min(2**31 - 1, int(seconds * 1000)) or 2**31 - 1
