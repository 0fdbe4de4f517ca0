"""What a transport serves, and what it promises: the seam between transport and service.

A *direct* method is given all calls of one read at once and answers each later through the call itself, so the hot
path needs no task, coroutine or future per request. Coroutine methods (health, reflection) come as the generic
handlers that grpcio's generated code registers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import grpc

from ratelimit.errors import RpcError


class Call(Protocol):
    """One call in flight. Exactly one of `reply` and `fail` ends it; both are cheap no-ops once the peer is gone."""

    def reply(self, message: bytes) -> None:
        """End the call with status OK and this serialised message."""

    def fail(self, error: RpcError) -> None:
        """End the call with the error's status and details."""


DirectMethod = Callable[[Sequence[tuple[Call, bytes]]], None]
"""Takes (call, serialised request message) pairs; must not raise; answers each call once, now or later."""


class GrpcServer(Protocol):
    """A gRPC server; methods are added before `start`."""

    def add_direct_method(self, path: str, method: DirectMethod) -> None:
        """Serve `path`, for instance ``/package.Service/Method``, as a unary call."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """As `grpc.aio.Server.add_generic_rpc_handlers`."""

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"
    ) -> None:
        """As `grpc.aio.Server.add_registered_method_handlers`."""

    async def start(self) -> None:
        """Bind and accept. Raises OSError naming the address when it cannot bind."""

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let open ones end for at most `grace_s` seconds, then close."""

    @property
    def connections(self) -> int | None:
        """How many clients are connected now; None where the transport cannot tell."""
