"""The service that gRPC's interoperability clients call, with methods of all four kinds (`testing.proto`).

What it must do is told in github.com/grpc/grpc, doc/interop-test-descriptions.md. The stubs are made at run time from
the .proto file, by the protoc of grpcio-tools.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from ratelimit.transport.methods import GrpcServer

messages: Any
services: Any
messages, services = grpc.protos_and_services("tests/wire/testing.proto")

INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
Context = grpc.aio.ServicerContext[Any, Any]


class TestingService:
    """Answers as its requests say: sizes, pauses and statuses are theirs to choose."""

    async def EmptyCall(self, _: Any, context: Context) -> Any:  # noqa: N802 - the name on the wire
        """Nothing for nothing."""
        await _echo_metadata(context)
        return messages.Empty()

    async def UnaryCall(self, request: Any, context: Context) -> Any:  # noqa: N802
        """A payload of the size that was asked for."""
        await _echo_metadata(context)
        await _end_as_told(request, context)
        return messages.SimpleResponse(payload=_payload(request.response_size))

    async def StreamingInputCall(self, requests: AsyncIterator[Any], context: Context) -> Any:  # noqa: N802
        """How much came in all."""
        size = 0
        async for request in requests:
            size += len(request.payload.body)
        return messages.StreamingInputCallResponse(aggregated_payload_size=size)

    async def StreamingOutputCall(self, request: Any, context: Context) -> AsyncIterator[Any]:  # noqa: N802
        """Payloads of the sizes that were asked for."""
        async for response in _responses(request):
            yield response

    async def FullDuplexCall(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:  # noqa: N802
        """Likewise for each request of a stream."""
        await _echo_metadata(context)
        async for request in requests:
            await _end_as_told(request, context)
            async for response in _responses(request):
                yield response


async def _responses(request: Any) -> AsyncIterator[Any]:
    for wanted in request.response_parameters:
        await asyncio.sleep(wanted.interval_us / 1e6)
        yield messages.StreamingOutputCallResponse(payload=_payload(wanted.size))


def _payload(size: int) -> Any:
    return messages.Payload(body=b"\0" * size)


async def _echo_metadata(context: Context) -> None:
    sent = dict(context.invocation_metadata() or ())
    if INITIAL in sent:
        await context.send_initial_metadata(((INITIAL, sent[INITIAL]),))
    if TRAILING in sent:
        context.set_trailing_metadata(((TRAILING, sent[TRAILING]),))


async def _end_as_told(request: Any, context: Context) -> None:
    if request.response_status.code:
        status = {code.value[0]: code for code in grpc.StatusCode}[request.response_status.code]
        await context.abort(status, request.response_status.message)


def add_to(server: GrpcServer) -> None:
    """Register the service as generated code does."""
    services.add_TestServiceServicer_to_server(TestingService(), server)
