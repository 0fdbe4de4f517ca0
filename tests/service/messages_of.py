"""Requests and answers of rls.proto for tests, made with the stubs."""

import math
from typing import Any

from ratelimit.errors import RpcError
from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2


def descriptor(*entries: tuple[str, str], **fields: Any) -> ratelimit_pb2.RateLimitDescriptor:
    """One descriptor of (key, value) entries."""
    message = ratelimit_pb2.RateLimitDescriptor(**fields)
    for key, value in entries:
        message.entries.add(key=key, value=value)
    return message


def request(*descriptors: ratelimit_pb2.RateLimitDescriptor, domain: str = "d", hits_addend: int = 0) -> bytes:
    """A serialised RateLimitRequest."""
    message = rls_pb2.RateLimitRequest(domain=domain, descriptors=descriptors, hits_addend=hits_addend)
    return message.SerializeToString()


class RecordedCall:
    """A call that keeps its end."""

    def __init__(self, deadline: float = math.inf) -> None:
        self.deadline = deadline
        self.waiting = True
        self.ends = 0
        self.response: rls_pb2.RateLimitResponse | None = None
        self.error: RpcError | None = None

    def reply(self, message: bytes) -> None:
        self.ends += 1
        self.waiting = False
        self.response = rls_pb2.RateLimitResponse.FromString(message)

    def fail(self, error: RpcError) -> None:
        self.ends += 1
        self.waiting = False
        self.error = error
