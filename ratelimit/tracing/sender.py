"""The process that sends traces: `python -m ratelimit.tracing.sender SETTINGS LOG`, packets of records on its input.

Of each record it makes two spans, named and marked as envoyproxy/ratelimit's: the call as a server of gRPC sees it, and
what the service did in it. OpenTelemetry's SDK keeps a bounded number of them and sends them in batches, to where its
own variables say (OTEL_EXPORTER_OTLP_ENDPOINT and the like). The process ends with its standard input.
"""

import ipaddress
import logging
import marshal
import os
import random
import signal
import socket
import sys
import uuid
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from opentelemetry.propagators.b3 import B3MultiFormat
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ratelimit.errors import GrpcStatus
from ratelimit.logs import configure_logs
from ratelimit.service.messages import SHOULD_RATE_LIMIT_PATH, request_text
from ratelimit.settings import LogSettings, TracingSettings
from ratelimit.transport.headers import Field
from ratelimit.transport.trace_fields import Parent

PACKET_BYTES_MAX = 1024 * 1024
NICENESS = 19
TOLD_S = 60.0
EXECUTION = "ShouldRateLimit Execution"
NAME = SHOULD_RATE_LIMIT_PATH[1:]
_SERVICE, _METHOD = NAME.split("/")
_RPC = {"rpc.system": "grpc", "rpc.service": _SERVICE, "rpc.method": _METHOD}
_ERRORS = frozenset(
    (
        GrpcStatus.UNKNOWN,
        GrpcStatus.DEADLINE_EXCEEDED,
        GrpcStatus.UNIMPLEMENTED,
        GrpcStatus.INTERNAL,
        GrpcStatus.UNAVAILABLE,
    )
)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_PROPAGATOR = CompositePropagator([TraceContextTextMapPropagator(), B3MultiFormat()])


def main(arguments: Sequence[str]) -> int:
    """Send until the packets end; the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    settings, log = TracingSettings.model_validate_json(arguments[0]), LogSettings.model_validate_json(arguments[1])
    configure_logs(log, process="traces")
    for handler in logging.getLogger().handlers:
        handler.addFilter(Seldom())
    spans = Spans(settings, exporter_of(settings.tracing_exporter_protocol))
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as packets:
        while packet := packets.recv(PACKET_BYTES_MAX):
            for record in marshal.loads(packet):  # noqa: S302 - from the process that started this one
                spans.add(*record)
    spans.close()
    return 0


class Seldom(logging.Filter):
    """One line a minute: a collector that is away is told of with each try."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        told = record.created >= self._next_s
        if told:
            self._next_s = record.created + TOLD_S
        return told


class Spans:
    """Makes spans of records, and has them sent."""

    def __init__(self, settings: TracingSettings, exporter: SpanExporter) -> None:
        self._resource = resource_of(settings)
        self._scope = InstrumentationScope("ratelimit")
        self._processor = BatchSpanProcessor(exporter)

    def add(
        self,
        began_ns: int,
        took_ns: int,
        message: bytes,
        fields: tuple[tuple[Field, ...], bool],
        *rest: Any,
    ) -> None:
        """The spans of one call: when it began, for how long it was worked on, its request, its parent's fields.

        `rest` is the client's address, the status and its details.
        """
        peer, code, details = rest
        parent = remote(Parent(*fields).decoded()) if fields[0] else None
        if parent is not None and not parent.trace_flags.sampled:
            return
        trace_id = parent.trace_id if parent is not None else random.getrandbits(128)
        state = parent.trace_state if parent is not None else None
        server, execution = (
            SpanContext(trace_id, random.getrandbits(64), is_remote=False, trace_flags=_SAMPLED, trace_state=state)
            for _ in range(2)
        )
        domain, text = request_text(message)
        shared: dict[str, Any] = {
            "resource": self._resource,
            "start_time": began_ns,
            "end_time": began_ns + took_ns,
            "instrumentation_scope": self._scope,
        }
        told = {"domain": domain, "request string": text}
        self._processor.on_end(ReadableSpan(EXECUTION, execution, server, attributes=told, **shared))
        attributes = {**_RPC, **peer_of(peer), "rpc.grpc.status_code": code}
        status = Status(StatusCode.ERROR, details) if code in _ERRORS else Status()
        shared |= {"kind": SpanKind.SERVER, "status": status}
        self._processor.on_end(ReadableSpan(NAME, server, parent, attributes=attributes, **shared))

    def close(self) -> None:
        """Send what waits."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]


class OneResource(Resource):
    """The one resource of all spans: the SDK groups spans by it, and would hash it as JSON for each of them."""

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


def resource_of(settings: TracingSettings) -> Resource:
    """What all spans say of this process; OTEL_RESOURCE_ATTRIBUTES may say more."""
    made = Resource.create(
        {
            "service.name": settings.tracing_service_name,
            "service.namespace": settings.tracing_service_namespace,
            "service.instance.id": settings.tracing_service_instance_id or str(uuid.uuid4()),
        }
    )
    return OneResource(made.attributes, made.schema_url)


def exporter_of(protocol: str) -> SpanExporter:
    """Over HTTP or gRPC."""
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - one of the two is wanted
            OTLPSpanExporter as OverGrpc,
        )

        return OverGrpc()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - likewise

    return OTLPSpanExporter()


@lru_cache(1000)
def peer_of(peer: str) -> dict[str, str | int]:
    """The attributes of a client's address as gRPC writes it; empty for a Unix socket."""
    host, _, port = peer.partition(":")[2].rpartition(":")
    try:
        address = str(ipaddress.ip_address(host.replace("%5B", "").replace("%5D", "").strip("[]")))
        return {"net.sock.peer.addr": address, "net.sock.peer.port": int(port)}
    except ValueError:
        return {}


def remote(fields: Sequence[Field]) -> SpanContext | None:
    """The span that called; None for none, or where its fields are broken after all."""
    carrier = {name.decode("ascii", "replace"): value.decode("ascii", "replace") for name, value in fields}
    found = get_current_span(_PROPAGATOR.extract(carrier)).get_span_context()
    return found if found.is_valid else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
