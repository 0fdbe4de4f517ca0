"""Methods that are coroutines, as grpcio's generated code registers them, on calls of our own.

    message, end ─► Requests ─► the method, one task ─► Responses ─► headers, messages, trailers
    expired, gone, stopping, failed ─► the call ends now, and the task is cancelled

A method is a coroutine function or, where its responses are a stream, an async generator function. It may outlive its
call: until its task is done the call keeps its place among the streams of its connection (`abandon`, `work_ended`).
"""

import asyncio
import contextlib
import inspect
import traceback
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.transport.calls import DEADLINE_PASSED, Call
from ratelimit.transport.grpc import metadata_of
from ratelimit.transport.servicer_context import Codec, Context, Metadatum
from ratelimit.transport.servicer_streams import LAST_WRITE_S_MAX, Requests, Responses
from ratelimit.transport.streams import State

FAULTS_LOGGED_MAX = 100
STOPS = RpcError(GrpcStatus.UNAVAILABLE, "the service stops")

_log = structlog.get_logger(__name__)
# The event loop holds tasks only weakly.
_running: set[asyncio.Task[None]] = set()
_faults: set[str] = set()


class CoroutineMethod:
    """A method of a `grpc.RpcMethodHandler`. Raises TypeError where it is no coroutine."""

    def __init__(self, handler: "grpc.RpcMethodHandler[Any, Any]", path: str) -> None:
        self.path = path
        self.request_streaming = bool(handler.request_streaming)
        self.response_streaming = bool(handler.response_streaming)
        self.codec = Codec(handler.request_deserializer, handler.response_serializer)
        self.behaviour = _behaviour(handler)
        self.generates = inspect.isasyncgenfunction(self.behaviour)
        if not inspect.iscoroutinefunction(self.behaviour) and not (self.generates and self.response_streaming):
            wanted = "a coroutine or async generator function" if self.response_streaming else "a coroutine function"
            raise TypeError(f"{path}: the method must be {wanted}, not {self.behaviour!r}")

    def __call__(self, call: Call) -> "CoroutineCall":
        """Serve a call: who takes its request."""
        return CoroutineCall(self, call)


class CoroutineCall:
    """One call to a coroutine method: a `Receiver` of calls.py."""

    def __init__(self, method: CoroutineMethod, call: Call) -> None:
        self._method = method
        self._call = call
        self._requests = Requests(call)
        self._responses = Responses(call)
        self._context = Context(call, self._requests, self._responses, method.codec)
        self._task: asyncio.Task[None] | None = None
        try:
            self._context.metadata = _invocation_metadata(call)
        except RpcError as error:
            call.fail(error)
            return
        if method.request_streaming:
            self._start()

    @property
    def full(self) -> bool:
        """Whether more than enough waits to be read."""
        return self._requests.full

    def message(self, message: bytes) -> None:
        if not self._call.waiting:
            return
        if len(self._requests) and not self._method.request_streaming:
            self.failed(RpcError(GrpcStatus.INTERNAL, "a unary call with more than one message"))
        else:
            self._requests.put(message)

    def end(self) -> None:
        if not self._call.waiting:
            return
        self._requests.end()
        if self._method.request_streaming:
            return
        if len(self._requests):
            self._start()
        else:
            self.failed(RpcError(GrpcStatus.INTERNAL, "a unary call without a message"))

    def failed(self, error: RpcError) -> None:
        self._break_off(error, LAST_WRITE_S_MAX)

    def expired(self) -> None:
        # Its client has given up as well: what it has not read by now it never will.
        self._break_off(DEADLINE_PASSED, 0)

    def gone(self) -> bool:
        self._leave()
        if self._responses.ended and self._is_working():
            # Whoever asks does this only for calls that were without an answer.
            self._call.connection.abandon(self._call)
        return self._is_working()

    def writable(self) -> None:
        self._responses.writable()

    def stopping(self) -> None:
        if self._method.response_streaming:
            self._break_off(STOPS, LAST_WRITE_S_MAX)

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._serve(), name=self._method.path)
        _running.add(self._task)
        self._task.add_done_callback(self._done)

    def _break_off(self, error: RpcError, last_write_s: float) -> None:
        """End the call whether or not its method is done; only messages on their way go out before."""
        if self._call.waiting:
            self._responses.end(error.grpc_status, error.details)
            self._leave()
        self._responses.give_up(last_write_s)
        if self._call.state is State.CLOSED and self._is_working():
            self._call.connection.abandon(self._call)

    def _leave(self) -> None:
        self._requests.drop()
        self._responses.forget_unsent()
        if self._is_working() and self._task is not None:
            self._context.break_off()
            self._task.cancel()

    def _is_working(self) -> bool:
        return self._task is not None and not self._task.done()

    async def _serve(self) -> None:
        context, method = self._context, self._method
        try:
            request: Any = _Iterator(context) if method.request_streaming else await self._one()
            if method.generates:
                async with contextlib.aclosing(method.behaviour(request, context)) as responses:
                    async for response in responses:
                        await context.write(response)
                answer = None
            else:
                answer = await method.behaviour(request, context)
            context.check()
            if method.response_streaming:
                context.end()
            else:
                context.end_with(answer)
        except Exception as error:  # noqa: BLE001 - a fault of the method's ends its call, and no other
            self._raised(error)

    async def _one(self) -> Any:
        message = await self._requests.next()
        assert message is not None  # noqa: S101 - the method is called when its request is there
        return self._context.decode(message)

    def _raised(self, error: Exception) -> None:
        context = self._context
        if error is context.aborted or (isinstance(error, grpc.aio.UsageError) and context.cancelled()):
            return
        log_once(self._method.path, error)
        context.end_unexpectedly(error)

    def _done(self, task: "asyncio.Task[None]") -> None:
        """The method is over, however it ended."""
        _running.discard(task)
        self._requests.drop()
        if task.cancelled():
            self._responses.end(GrpcStatus.CANCELLED, "the method was cancelled")
        elif error := task.exception():
            log_once(self._method.path, error)
            self._responses.end(GrpcStatus.UNKNOWN, "the method failed")
        self._call.connection.work_ended(self._call)
        for callback in self._context.callbacks:
            try:
                callback(self._context)
            except Exception as fault:  # noqa: BLE001 - likewise
                log_once(self._method.path, fault)


class _Iterator:
    """The requests of a stream, for `async for`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        request = await self._context.read()
        if request is grpc.aio.EOF:
            raise StopAsyncIteration
        return request


def _behaviour(handler: "grpc.RpcMethodHandler[Any, Any]") -> Any:
    if handler.request_streaming:
        return handler.stream_stream if handler.response_streaming else handler.stream_unary
    return handler.unary_stream if handler.response_streaming else handler.unary_unary


def _invocation_metadata(call: Call) -> tuple[Metadatum, ...]:
    """The client's metadata, without gRPC's own. Raises RpcError."""
    fields = (field for field in call.head.metadata if not field[0].startswith(b"grpc-"))
    return tuple(Metadatum(*pair) for pair in metadata_of(fields))


def log_once(path: str, error: BaseException) -> None:
    """Log a fault of a method's, once for each place that it comes from."""
    frames = list(traceback.walk_tb(error.__traceback__))
    where = f"{frames[-1][0].f_code.co_qualname}:{frames[-1][1]}" if frames else ""
    place = f"{path} {type(error).__name__} {where}"
    if place not in _faults and len(_faults) < FAULTS_LOGGED_MAX:
        _faults.add(place)
        _log.error("a method failed; more from the same place are not logged", method=path, exc_info=error)
