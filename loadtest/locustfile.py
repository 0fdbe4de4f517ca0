"""A gRPC user for locust: catalog requests by tier.

locust -f loadtest/locustfile.py --headless -u 20 -t 30s --host 127.0.0.1:8081
"""

import time
from typing import Any

import grpc
from grpc.experimental import gevent
from locust import User, between, task

from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

gevent.init_gevent()


class CatalogUser(User):
    """Asks for each tier; OVER_LIMIT is an answer like OK, and has a row of its own."""

    wait_time = between(0, 0.01)

    def on_start(self) -> None:
        """Open one channel for this user."""
        self.channel = grpc.insecure_channel(self.host or "127.0.0.1:8081")
        self.stub: Any = rls_pb2_grpc.RateLimitServiceStub(self.channel)

    def on_stop(self) -> None:
        """Close it."""
        self.channel.close()

    @task(10)
    def gold(self) -> None:
        """Gold, most often."""
        self._ask("gold_request")

    @task(5)
    def silver(self) -> None:
        """Silver."""
        self._ask("silver_request")

    @task(1)
    def none(self) -> None:
        """No loyalty."""
        self._ask("no_loyalty")

    def _ask(self, value: str) -> None:
        entry = ratelimit_pb2.RateLimitDescriptor.Entry(key="header_match", value=value)
        descriptor = ratelimit_pb2.RateLimitDescriptor(entries=[entry])
        request = rls_pb2.RateLimitRequest(domain="catalog-ratelimit", descriptors=[descriptor])
        started, name, length, error = time.perf_counter(), value, 0, None
        try:
            response = self.stub.ShouldRateLimit(request, timeout=5)
            length = response.ByteSize()
            name = f"{value} {rls_pb2.RateLimitResponse.Code.Name(response.overall_code)}"
        except grpc.RpcError as failure:
            error = failure
        self.environment.events.request.fire(
            request_type="grpc",
            name=name,
            response_time=(time.perf_counter() - started) * 1000,
            response_length=length,
            exception=error,
            context={},
        )
