"""The gRPC server of grpcio (`grpc.aio`), behind the seam of methods.py."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
import grpc.aio

from ratelimit.errors import RpcError
from ratelimit.settings import ServerSettings
from ratelimit.transport.awaited_call import AwaitedCall
from ratelimit.transport.methods import DirectMethod
from ratelimit.transport.tls import client_is_allowed, server_credentials

_STATUS = {code.value[0]: code for code in grpc.StatusCode}


class GrpcioServer:
    """A `GrpcServer` over grpcio."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._server = grpc.aio.server(options=_options(settings))
        self.port = 0

    @property
    def connections(self) -> int | None:
        """None: this library does not tell."""
        return None

    def add_direct_method(self, path: str, method: DirectMethod) -> None:
        """Serve `path` with raw bytes in and out."""
        _, service, name = path.split("/")
        handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(_unary(method, self._settings))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """As `grpc.aio.Server.add_generic_rpc_handlers`."""
        self._server.add_generic_rpc_handlers(generic_rpc_handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """As `grpc.aio.Server.add_registered_method_handlers`."""
        self._server.add_registered_method_handlers(service_name, dict(method_handlers))

    async def start(self) -> None:
        """Bind and accept. Raises OSError naming the address."""
        settings = self._settings
        where = f"{settings.grpc_host}:{settings.grpc_port} (GRPC_HOST, GRPC_PORT)"
        address = f"{settings.grpc_host}:{settings.grpc_port}"
        if settings.grpc_uds:
            address = f"unix:{settings.grpc_uds}"
            where = f"{settings.grpc_uds} (GRPC_UDS)"
        try:
            if settings.grpc_server_use_tls:
                self.port = self._server.add_secure_port(address, server_credentials(settings))
            else:
                self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen for gRPC on {where}: {error}") from None
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let open ones end for at most `grace_s` seconds, then close."""
        await self._server.stop(grace_s)


def _unary(
    method: DirectMethod, settings: ServerSettings
) -> "Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Awaitable[bytes]]":
    async def serve(message: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
        if settings.grpc_client_tls_san and not client_is_allowed(context.auth_context(), settings.grpc_client_tls_san):
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "the client certificate does not carry GRPC_CLIENT_TLS_SAN"
            )
        call = AwaitedCall(_deadline(context))
        method([call], [message])
        try:
            return await call.answer()
        except RpcError as error:
            await context.abort(_STATUS[error.grpc_status.value], error.details)

    return serve


def _deadline(context: "grpc.aio.ServicerContext[Any, Any]") -> float:
    """When the caller stops waiting, in the event loop's time."""
    left = context.time_remaining()
    return math.inf if left is None else asyncio.get_running_loop().time() + left


def _options(settings: ServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 1),
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
