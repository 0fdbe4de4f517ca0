"""The gRPC services beside ShouldRateLimit: grpc.health.v1, and reflection v1 and v1alpha."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from ratelimit.service.health import SERVICES, Health
from ratelimit.service.messages import SERVICE_NAME, SHOULD_RATE_LIMIT_PATH
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.service.rlqs.messages import QUOTA_SERVICE_NAME
from ratelimit.service.rlqs.rate_limit_quota import RateLimitQuotaService
from ratelimit.transport.methods import DirectMethod, GrpcServer

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1.ServerReflection"
REFLECTION_V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"


def add_services(  # noqa: PLR0913 - what a process serves, by name
    server: GrpcServer,
    service: RateLimitService,
    health: Health,
    *,
    with_reflection: bool,
    quota: RateLimitQuotaService | None = None,
    traced: Callable[[DirectMethod], DirectMethod] = lambda method: method,
) -> None:
    """Register everything this process serves over gRPC. Needs the running event loop.

    `traced` makes of ShouldRateLimit a method that tells of its calls. Without `quota` that service is not there.
    """
    server.add_direct_method(SHOULD_RATE_LIMIT_PATH, traced(service.should_rate_limit))
    _add_health(server, health)
    served = [SERVICE_NAME]
    if quota is not None:
        server.add_generic_rpc_handlers((quota.handler,))
        served.append(QUOTA_SERVICE_NAME)
    if with_reflection:
        _add_reflection(server, served)


def _add_health(server: GrpcServer, health: Health) -> None:
    servicer = _HealthServicer(health)
    registered: Any = server  # the generated code names grpcio's classes, and needs only our protocol
    health_pb2_grpc.add_HealthServicer_to_server(servicer, registered)
    tasks: set[asyncio.Task[None]] = set()

    async def publish() -> None:
        for name in SERVICES:
            await servicer.set(name, _status(health))

    def changed() -> None:
        task = asyncio.get_running_loop().create_task(publish())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    health.on_change(changed)


class _HealthServicer(HealthServicer):
    """grpcio's own, with the List that its stubs know and its asyncio servicer does not have."""

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    async def List(self, _: Any, __: Any) -> Any:  # noqa: N802 - the name of the method on the wire
        """The status of every service."""
        status = health_pb2.HealthCheckResponse(status=_status(self._health))
        messages: Any = health_pb2  # the published types are older than List
        return messages.HealthListResponse(statuses=dict.fromkeys(SERVICES, status))


def _status(health: Health) -> Any:
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    return serving if health.healthy else not_serving


def _add_reflection(server: GrpcServer, served: Sequence[str]) -> None:
    servicer: Any = ReflectionServicer((*served, HEALTH, REFLECTION, REFLECTION_V1ALPHA))
    registered: Any = server
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, registered)
    # v1 has the messages of v1alpha under another name, and grpcio-reflection brings only v1alpha's stubs.
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(REFLECTION, {"ServerReflectionInfo": handler}),)
    )
