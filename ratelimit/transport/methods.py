"""What a transport serves, and what it promises: the seam between transport and service.

A *direct* method is given all calls of one read at once and answers each later through the call itself, so the hot
path needs no task, coroutine or future per request. Coroutine methods (health, reflection) come as the generic
handlers that grpcio's generated code registers; their types are grpcio's, and this file does not need to know them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from ratelimit.errors import RpcError


class Call(Protocol):
    """One call in flight.

    `deadline` is when the caller stops waiting, in the event loop's time (seconds, `loop.time()`), infinity for none.
    `waiting` is False as soon as nobody waits any more: answered, cancelled, expired, or the connection is gone.
    Exactly one of `reply` and `fail` ends it; neither ever raises or blocks, and both do nothing once it is over.
    """

    deadline: float
    waiting: bool

    def reply(self, message: bytes) -> None:
        """End the call with status OK and this serialised message."""

    def fail(self, error: RpcError) -> None:
        """End the call with the error's status and details."""


class TraceableCall(Call, Protocol):
    """What the calls of a traced server are beside that."""

    @property
    def head(self) -> Any:
        """Its `parent` is the span that called (trace_fields.py), None for none."""

    @property
    def peer(self) -> str:
        """The client's address as gRPC writes it, `ipv4:127.0.0.1:50051`; empty where it is not known."""


InStep = Callable[[], Awaitable[None]]
"""Waits, for a moment at most, until every server that shares the port has come as far."""

DirectMethod = Callable[[Sequence[Call], Sequence[bytes]], None]
"""Takes calls and their request messages, in the same order; never raises; answers each call once, now or later."""


class GrpcServer(Protocol):
    """A gRPC server; methods are added before `start`."""

    def add_direct_method(self, path: str, method: DirectMethod) -> None:
        """Serve `path`, for instance ``/package.Service/Method``, as a unary call."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[Any]) -> None:
        """As `grpc.aio.Server.add_generic_rpc_handlers`."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Any]) -> None:
        """As `grpc.aio.Server.add_registered_method_handlers`."""

    @property
    def port(self) -> int:
        """The port it listens on, once it has started; 0 for a unix socket."""

    async def start(self) -> None:
        """Bind and accept. Raises OSError naming the address when it cannot bind."""

    async def stop(self, grace_s: float, in_step: InStep | None = None) -> None:
        """Refuse new calls, let open ones end for at most `grace_s` seconds, then close.

        `in_step` is for several servers on one port that end together: a client that one of them sends away must not
        come to another that is about to.
        """

    def flush(self) -> None:
        """Write what was answered until now, not only at the end of this turn of the event loop."""

    @property
    def connections(self) -> int | None:
        """How many clients are connected now; None where the transport cannot tell."""
