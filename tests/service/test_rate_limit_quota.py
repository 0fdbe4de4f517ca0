from typing import Any

import grpc
import grpc.aio
import pytest

from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from ratelimit.service.quota_messages import QUOTA_METHOD, QUOTA_SERVICE_NAME
from ratelimit.settings import ServerSettings
from ratelimit.transport.grpcio_server import GrpcioServer
from ratelimit.transport.native_server import NativeServer
from tests.service.quota_streams import Envoy, PingedEnvoy, quota_service, report, until

PROD = report(("name", "prod", 1, 0))
LOOPBACK = ServerSettings(grpc_host="127.0.0.1", grpc_port=0)


@pytest.mark.parametrize("make", [NativeServer, GrpcioServer])
async def test_both_transports_serve_it(make: type[NativeServer] | type[GrpcioServer]) -> None:
    """The native one acknowledges by PING; a broken report ends its stream with the reason; a drain ends streams."""
    service, stats = quota_service()
    server = make(LOOPBACK)
    server.add_generic_rpc_handlers((service.handler,))
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        method: Any = channel.stream_stream(f"/{QUOTA_SERVICE_NAME}/{QUOTA_METHOD}")
        calls = [method(), method()]
        for call in calls:
            await call.write(PROD)
            (action,) = rlqs_pb2.RateLimitQuotaResponse.FromString(await call.read()).bucket_action
            assert action.HasField("quota_assignment_action")
        if make is NativeServer:
            await until(lambda: stats.acks >= 2)
        await calls[0].write(b"\xff")
        assert await calls[0].code() is grpc.StatusCode.INTERNAL
        await until(lambda: stats.streams_active == 1)
        await server.stop(3600)
        assert await calls[1].code() is grpc.StatusCode.UNAVAILABLE
    await until(lambda: stats.streams_active == 0)
    service.close()


async def test_streams_are_bounded() -> None:
    """One more hears so at once; an end makes room."""
    service, stats = quota_service(rlqs_streams_max=1)
    one, other = PingedEnvoy(service), Envoy(service)
    await one.told(PROD)
    await other.over()
    assert other.aborted == (grpc.StatusCode.RESOURCE_EXHAUSTED, "1 streams are open")
    assert stats.streams_refused == 1
    await one.end()
    again = PingedEnvoy(service)
    await again.told(PROD)
    await again.end()
    assert stats.streams_total == 2
    service.close()
