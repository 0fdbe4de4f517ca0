import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from ratelimit.service.grpc_services import add_services
from ratelimit.service.health import SERVICES, Health
from ratelimit.settings import ServerSettings
from ratelimit.transport.grpcio_server import GrpcioServer
from ratelimit.transport.native_server import NativeServer
from tests.service.rlqs.streams import quota_service
from tests.service.test_rate_limit import Bench

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Served:
    """A server with all services, and grpcio's own client."""

    def __init__(self, make: Callable[[ServerSettings], Any]) -> None:
        self.health = Health()
        self.server = make(ServerSettings(grpc_host="127.0.0.1", grpc_port=0))
        quota, _ = quota_service()
        add_services(self.server, Bench().service, self.health, quota=quota, with_reflection=True)

    async def start(self) -> None:
        await self.server.start()
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.stub: Any = health_pb2_grpc.HealthStub(self.channel)


@pytest_asyncio.fixture(params=[GrpcioServer, NativeServer])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    """Running, on each of the servers."""
    served = Served(request.param)
    await served.start()
    yield served
    await served.channel.close()
    await served.server.stop(0)


async def test_watch_answers_at_once_and_then_changes(served: Served) -> None:
    """grpc.health.v1: NOT_SERVING, SERVING with the store, NOT_SERVING while draining."""
    statuses = served.stub.Watch(health_pb2.HealthCheckRequest(service="ratelimit"))
    assert (await statuses.read()).status == NOT_SERVING
    served.health.store_changed(connected=True)
    assert (await statuses.read()).status == SERVING
    served.health.drain()
    assert (await statuses.read()).status == NOT_SERVING
    statuses.cancel()


async def test_check_of_an_unknown_service_is_not_found(served: Served) -> None:
    """The whole server has the empty name."""
    assert (await served.stub.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_list_tells_every_service(served: Served) -> None:
    """grpc.health.v1's List: the names that Check knows, with what it would say."""
    served.health.store_changed(connected=True)
    messages: Any = health_pb2  # the published types are older than List
    statuses = (await served.stub.List(messages.HealthListRequest())).statuses
    assert {name: status.status for name, status in statuses.items()} == dict.fromkeys(SERVICES, SERVING)


async def test_streams_end_with_the_server(served: Served) -> None:
    """An open Watch and an open reflection do not hold a stop, even one that has just been written to."""
    watch = served.stub.Watch(health_pb2.HealthCheckRequest())
    reflection: Any = served.channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
    )()
    await reflection.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    await asyncio.gather(watch.read(), reflection.read())
    served.health.drain()
    await asyncio.wait_for(served.server.stop(3600), 30)
    unavailable = grpc.StatusCode.UNAVAILABLE
    assert (await watch.code(), await reflection.code()) == (unavailable, unavailable)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_shows_the_upstream_names(served: Served, version: str) -> None:
    """Tools like ghz find the service and its file."""
    call: Any = served.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = {service.name for service in (await call.read()).list_services_response.service}
    assert "envoy.service.ratelimit.v3.RateLimitService" in names
    assert "envoy.service.rate_limit_quota.v3.RateLimitQuotaService" in names
    assert f"grpc.reflection.{version}.ServerReflection" in names
    call.cancel()
