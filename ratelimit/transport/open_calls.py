"""What is open on a server of grpcio, so that its end fails no caller.

When grpcio's core shuts down it cancels each call that has reached it and no handler yet, and each one that a client
sends before it reads GOAWAY. So the end begins with a pause: answers are held, clients that wait for one send nothing
new, what was queued comes in; then GOAWAY goes out, and the answers after it. Streams have no answer to wait for:
they end with UNAVAILABLE, and their clients go elsewhere.
"""

import asyncio
import inspect
import math
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.transport.awaited_call import AwaitedCall
from ratelimit.transport.methods import DirectMethod

# No call for this long: whoever waits for an answer has nothing more to send, and the core's queue is empty.
QUIET_S = 0.01
# Clients that do not wait for answers never pause; callers with a deadline of 20 ms must not wait for them for long.
HOLD_S_MAX = 0.1
# How long a stream's last message may take to a client that reads.
WRITE_S_MAX = 1.0
STOPS = "the service stops"


class OpenCalls:
    """The calls and streams of one server. Made inside the running event loop."""

    def __init__(self) -> None:
        self._calls: set[AwaitedCall] = set()
        self._streams: set[asyncio.Future[None]] = set()
        self._arrived = -math.inf
        self._may_answer = asyncio.Event()
        self._may_answer.set()
        self._streams_end = False

    async def serve(self, method: DirectMethod, message: bytes, call: AwaitedCall) -> bytes | RpcError:
        """One direct call: its answer, not before it may go out."""
        self._calls.add(call)
        self._arrived = asyncio.get_running_loop().time()
        answer: bytes | RpcError
        try:
            method([call], [message])
            answer = await call.answer()
        except RpcError as error:
            answer = error
        finally:
            self._calls.discard(call)
        await self._may_answer.wait()
        return answer

    def ending(self, handler: "grpc.RpcMethodHandler[Any, Any]") -> "grpc.RpcMethodHandler[Any, Any]":
        """The same handler, but for one whose responses are a stream: that ends with `end_streams`."""
        if not handler.response_streaming:
            return handler
        made = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
        behaviour: Any = handler.stream_stream or handler.unary_stream

        async def serve(request: Any, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
            await self._stream(behaviour, request, _Written(context))

        return made(serve, handler.request_deserializer, handler.response_serializer)

    def end_streams(self) -> None:
        """End open streams, and those that still come, with UNAVAILABLE."""
        self._streams_end = True
        for stream in self._streams:
            stream.cancel()

    async def hold(self) -> None:
        """Hold answers, and wait until no more calls come, at most HOLD_S_MAX."""
        self._may_answer.clear()
        loop = asyncio.get_running_loop()
        until = loop.time() + HOLD_S_MAX
        while (left_s := min(self._arrived + QUIET_S, until) - loop.time()) > 0:  # noqa: ASYNC110 - each call moves it
            await asyncio.sleep(left_s)

    def release(self) -> None:
        """Let answers go out."""
        self._may_answer.set()

    def fail(self) -> None:
        """End every direct call that has no answer yet with UNAVAILABLE."""
        for call in self._calls:
            call.fail(RpcError(GrpcStatus.UNAVAILABLE, STOPS))

    async def _stream(self, behaviour: Callable[..., Any], request: Any, context: "_Written") -> None:
        stream = asyncio.ensure_future(_run(behaviour, request, context))
        self._streams.add(stream)
        if self._streams_end:
            stream.cancel()
        try:
            await stream
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling() or not await context.idle():  # the client went away, or does not read
                raise
            await context.abort(grpc.StatusCode.UNAVAILABLE, STOPS)
        finally:
            self._streams.discard(stream)


class _Written:
    """A stream's context that knows whether a message is on its way: the core takes no status before it is out."""

    def __init__(self, context: "grpc.aio.ServicerContext[Any, Any]") -> None:
        self._context = context
        self._writing: asyncio.Future[None] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """As the context's; a write goes on when whoever waits for it is cancelled."""
        self._writing = asyncio.ensure_future(self._context.write(message))
        self._writing.add_done_callback(lambda writing: writing.cancelled() or writing.exception())
        await asyncio.shield(self._writing)

    async def idle(self) -> bool:
        """Wait for the message on its way, at most WRITE_S_MAX: whether none is left."""
        if self._writing is None:
            return True
        done, _ = await asyncio.wait((self._writing,), timeout=WRITE_S_MAX)
        return bool(done)


class EndingHandler(grpc.GenericRpcHandler):
    """A generic handler whose streams end with the server's `OpenCalls`."""

    def __init__(self, inner: grpc.GenericRpcHandler, calls: OpenCalls) -> None:
        self._inner = inner
        self._calls = calls

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = self._inner.service(handler_call_details)
        return None if handler is None else self._calls.ending(handler)


async def _run(behaviour: Callable[..., Any], request: Any, context: _Written) -> None:
    """Run a stream's method in either of its forms: it writes by itself, or it yields what is to be written."""
    if inspect.isasyncgenfunction(behaviour):
        async for message in behaviour(request, context):
            await context.write(message)
    else:
        await behaviour(request, context)
