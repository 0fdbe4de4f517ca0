import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from ratelimit.errors import GrpcStatus
from ratelimit.settings import TracingSettings
from ratelimit.tracing.sender import EXECUTION, NAME, Seldom, Spans, exporter_of, peer_of, remote, resource_of
from tests.service.test_rate_limit import ASK
from tests.transport.test_trace_fields import SPAN, TRACE, W3C

ROOT = ((), False)


class Kept(SpanExporter):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.spans += spans
        return SpanExportResult.SUCCESS


def spans_of(*records: tuple[Any, ...], **given: Any) -> dict[str, Any]:
    """The spans of records, the last of each name."""
    kept = Kept()
    spans = Spans(TracingSettings.model_validate(given), kept)
    for record in records:
        spans.add(*record)
    spans.close()
    return {span.name: span for span in kept.spans}


def test_a_call_is_two_spans() -> None:
    """As otelgrpc and the service of the reference name and mark them."""
    found = spans_of((10**18, 5000, ASK, ROOT, "ipv4:10.0.0.1:5055", 0, ""))
    server, execution = found[NAME], found[EXECUTION]
    assert NAME == "envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
    assert dict(server.attributes) == {
        "rpc.system": "grpc",
        "rpc.service": "envoy.service.ratelimit.v3.RateLimitService",
        "rpc.method": "ShouldRateLimit",
        "net.sock.peer.addr": "10.0.0.1",
        "net.sock.peer.port": 5055,
        "rpc.grpc.status_code": 0,
    }
    assert (server.kind, server.parent, server.status.status_code) == (SpanKind.SERVER, None, StatusCode.UNSET)
    assert (server.start_time, server.end_time) == (10**18, 10**18 + 5000)
    assert execution.parent == server.context
    assert execution.attributes["domain"] == "d"
    assert execution.attributes["request string"].startswith('domain: "d" descriptors {')
    assert server.context.trace_flags.sampled


def test_a_parent_keeps_its_trace() -> None:
    """Its state too; one that is not traced after all, or broken, is no parent."""
    fields = ((b"traceparent", W3C + b"-01"), (b"tracestate", b"vendor=1"))
    server = spans_of((1, 1, b"", (fields, False), "", 0, ""))[NAME]
    assert server.parent.span_id == int(SPAN, 16)
    assert server.parent.is_remote
    assert server.context.trace_id == int(TRACE, 16)
    assert server.context.trace_state["vendor"] == "1"
    assert spans_of((1, 1, b"", (((b"traceparent", W3C + b"-00"),), False), "", 0, "")) == {}
    assert spans_of((1, 1, b"", (((b"traceparent", b"\xff"),), False), "", 0, ""))[NAME].parent is None


def test_b3_is_read_in_both_its_forms() -> None:
    """As the reference's propagators do."""
    several = ((b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN), (b"x-b3-sampled", b"1"))
    for fields in (((b"b3", TRACE + b"-" + SPAN + b"-1"),), several):
        found = remote(fields)
        assert found is not None
        assert (found.trace_id, found.trace_flags.sampled) == (int(TRACE, 16), True)


@pytest.mark.parametrize(("code", "failed"), [(GrpcStatus.UNAVAILABLE, True), (GrpcStatus.INVALID_ARGUMENT, False)])
def test_what_is_the_servers_fault_is_an_error(code: GrpcStatus, failed: bool) -> None:
    """As otelgrpc judges; bytes that are no request have no text."""
    found = spans_of((1, 1, b"\xff", ROOT, "unix:", int(code), "why"))
    status = found[NAME].status
    assert (status.status_code, status.description) == (
        (StatusCode.ERROR, "why") if failed else (StatusCode.UNSET, None)
    )
    assert found[NAME].attributes["rpc.grpc.status_code"] == code
    assert dict(found[EXECUTION].attributes) == {"domain": "", "request string": ""}


def test_a_process_says_who_it_is() -> None:
    """By TRACING_SERVICE_NAME, _NAMESPACE and _INSTANCE_ID; an id of its own where there is none."""
    settings = TracingSettings(tracing_service_namespace="ns", tracing_service_instance_id="7")
    attributes = resource_of(settings).attributes
    assert [attributes[f"service.{key}"] for key in ("name", "namespace", "instance.id")] == ["RateLimit", "ns", "7"]
    ids = {resource_of(TracingSettings()).attributes["service.instance.id"] for _ in range(2)}
    assert len(ids) == 2


def test_spans_are_sent_under_one_resource() -> None:
    """All of a process; another process's are others."""
    spans = spans_of((10**18, 5000, ASK, ROOT, "", 0, "")), spans_of((10**18, 5000, ASK, ROOT, "", 0, ""))
    assert len(encode_spans(list(spans[0].values())).resource_spans) == 1
    both = encode_spans([each for found in spans for each in found.values()])
    assert [len(each.scope_spans[0].spans) for each in both.resource_spans] == [2, 2]


def test_a_collector_that_is_away_is_told_of_once_a_minute() -> None:
    """The SDK tells with each try."""
    seldom, record = Seldom(), logging.makeLogRecord({"msg": "away"})
    told = []
    for record.created in (1000.0, 1001.0, 1059.0, 1060.0, 1061.0):
        told.append(seldom.filter(record))
    assert told == [True, False, False, True, False]


def test_addresses_are_told_apart_from_ports() -> None:
    """IPv6 too, as grpcio and we write it."""
    assert peer_of("ipv6:[::1]:80") == peer_of("ipv6:%5B::1%5D:80") == {
        "net.sock.peer.addr": "::1", "net.sock.peer.port": 80,
    }  # fmt: skip
    assert peer_of("unix:") == peer_of("") == {}


async def test_the_protocol_chooses_the_exporter() -> None:
    """HTTP unless gRPC is asked for."""
    names = [type(await asyncio.to_thread(exporter_of, protocol)).__module__ for protocol in ("", "http", "grpc")]
    assert [".http." in name for name in names] == [True, True, False]
