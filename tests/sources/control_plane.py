"""A control plane for tests: an ADS server that says what it is told to, and keeps what it hears."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage

from ratelimit.pb.envoy.service.discovery.v3 import ads_pb2_grpc
from ratelimit.pb.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from ratelimit.pb.ratelimit.config.ratelimit.v3 import rls_conf_pb2
from ratelimit.sources.xds_messages import TYPE_URL

WAIT_S_MAX = 30.0


def packed(resource: dict[str, Any]) -> AnyMessage:
    """A RateLimitConfig, given as protojson, as a resource."""
    message = json_format.ParseDict(resource, rls_conf_pb2.RateLimitConfig())
    return AnyMessage(type_url=TYPE_URL, value=message.SerializeToString())


def domain(name: str, requests_per_unit: int = 1) -> dict[str, Any]:
    """A resource with one limit a minute for the key `k`."""
    limit = {"unit": "MINUTE", "requests_per_unit": requests_per_unit}
    return {"name": name, "domain": name, "descriptors": [{"key": "k", "rate_limit": limit}]}


class Stream:
    """One stream of a client: its metadata, its first request, and what it asks later."""

    def __init__(self, context: Any) -> None:
        self.metadata = dict(context.invocation_metadata())
        self.first = DiscoveryRequest()
        self._requests: asyncio.Queue[DiscoveryRequest] = asyncio.Queue()
        self._responses: asyncio.Queue[DiscoveryResponse | None] = asyncio.Queue()

    async def heard(self) -> DiscoveryRequest:
        """The next request."""
        return await asyncio.wait_for(self._requests.get(), WAIT_S_MAX)

    async def say(self, version: str, *resources: AnyMessage, type_url: str = TYPE_URL) -> DiscoveryRequest:
        """Send a response; what is answered to it."""
        self.send(version, *resources, type_url=type_url)
        request = await self.heard()
        assert request.response_nonce == f"nonce of {version}"
        return request

    def send(self, version: str, *resources: AnyMessage, type_url: str = TYPE_URL) -> None:
        """Send a response."""
        nonce = f"nonce of {version}"
        self._responses.put_nowait(
            DiscoveryResponse(version_info=version, resources=resources, type_url=type_url, nonce=nonce)
        )

    def end(self) -> None:
        """End the stream, without an error."""
        self._responses.put_nowait(None)

    async def listen(self, requests: AsyncIterator[DiscoveryRequest]) -> None:
        """Keep what comes."""
        async for request in requests:
            self._requests.put_nowait(request)

    async def responses(self) -> AsyncIterator[DiscoveryResponse]:
        """What is to be sent, until `end`."""
        while (response := await self._responses.get()) is not None:
            yield response


class ControlPlaneServer(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """`port` is where it listens, 0 before `listening`."""

    def __init__(self) -> None:
        self.port = 0
        self._streams: asyncio.Queue[Stream] = asyncio.Queue()

    async def stream(self) -> Stream:
        """The next stream of a client, with its first request heard."""
        stream = await asyncio.wait_for(self._streams.get(), WAIT_S_MAX)
        stream.first = await stream.heard()
        return stream

    async def StreamAggregatedResources(  # noqa: N802 - gRPC's name
        self, requests: Any, context: Any
    ) -> AsyncIterator[DiscoveryResponse]:
        """One stream."""
        stream = Stream(context)
        self._streams.put_nowait(stream)
        listening = asyncio.ensure_future(stream.listen(requests))
        try:
            async for response in stream.responses():
                yield response
        finally:
            listening.cancel()

    @contextlib.asynccontextmanager
    async def listening(self, credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[None]:
        """Serve, at the same port again after a first time."""
        server = grpc.aio.server()
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, server)
        address = f"127.0.0.1:{self.port}"
        if credentials is None:
            self.port = server.add_insecure_port(address)
        else:
            self.port = server.add_secure_port(address, credentials)
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)
