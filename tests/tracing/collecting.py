"""A collector for tests: OTLP over HTTP and over gRPC, which keeps the spans that it gets."""

import asyncio
from typing import Any, Self

import grpc.aio
from aiohttp import web
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


class Collector:
    """Running inside the loop; `spans` has each with the attributes of its resource and its own."""

    def __init__(self) -> None:
        self.spans: asyncio.Queue[tuple[dict[str, Any], Any]] = asyncio.Queue()
        self.http = self.grpc = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/traces", self._posted)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._server = grpc.aio.server()
        handler: Any = grpc.unary_unary_rpc_method_handler(self._called)
        service, name = EXPORT[1:].split("/")
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {name: handler}),))
        self.grpc = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        self.http = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._server.stop(0)

    async def of_call(self) -> dict[str, Any]:
        """The next two spans, by their names."""
        found = [await asyncio.wait_for(self.spans.get(), 60) for _ in range(2)]
        return {span.name: (resource, span) for resource, span in found}

    async def _posted(self, request: web.Request) -> web.Response:
        self._take(await request.read())
        return web.Response(content_type="application/x-protobuf")

    async def _called(self, message: bytes, _: Any) -> bytes:
        self._take(message)
        return b""

    def _take(self, message: bytes) -> None:
        for resource in trace_service_pb2.ExportTraceServiceRequest.FromString(message).resource_spans:
            attributes = attributes_of(resource.resource)
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put_nowait((attributes, span))


def attributes_of(span: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
