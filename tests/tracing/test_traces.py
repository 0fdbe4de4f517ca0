import asyncio
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import grpc.aio
import pytest

from ratelimit import lifetime
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.settings import TracingSettings
from ratelimit.tracing import traces as module
from ratelimit.tracing.traces import MESSAGE_BYTES_MAX, RECORDS_AT_ONCE, Traces
from ratelimit.transport.awaited_call import AwaitedCall
from ratelimit.transport.trace_fields import UNSAMPLED, Caller, Parent
from tests.service.test_rate_limit import ASK
from tests.test_worker import CONFIG, PATH, worker
from tests.tracing.collecting import Collector, attributes_of
from tests.transport.test_trace_fields import SPAN, TRACE, W3C

# Ends with the number of packets that it got as its code.
READER = (
    "import os, socket\ns = socket.socket(fileno=os.dup(0)); n = 0\nwhile s.recv(9999999): n += 1\nraise SystemExit(n)"
)
ECHO = (sys.executable, "-c", READER)
ALL = TracingSettings(tracing_enabled=True, tracing_sampling_rate=1)


def echo(calls: Sequence[Any], messages: Sequence[bytes]) -> None:
    """Answer, or fail where nothing is said."""
    for call, message in zip(calls, messages, strict=True):
        assert call.waiting
        if message:
            call.reply(message)
        else:
            call.fail(RpcError(GrpcStatus.UNAVAILABLE, "no"))


async def ask(method: Any, message: bytes, parent: Parent | None = None) -> bytes:
    """What a method answers."""
    call = AwaitedCall(head=Caller(parent), peer="ipv4:1.2.3.4:5")
    method([call], [message])
    return await call.answer()


async def test_calls_that_are_chosen_tell_of_their_end() -> None:
    """They are answered as ever; a request that is too long is left out of its record."""
    traces = Traces(ALL, ECHO)
    method = traces.traced(echo)
    assert await ask(method, b"x") == b"x"
    with pytest.raises(RpcError, match="no"):
        await ask(method, b"", Parent(((b"b3", b"1"),), coded=True))
    await ask(method, b"y" * (MESSAGE_BYTES_MAX + 1))
    await ask(method, b"z", UNSAMPLED)
    shown = [record[2:] for record in traces._records]
    assert shown == [
        (b"x", ((), False), "ipv4:1.2.3.4:5", 0, ""),
        (b"", (((b"b3", b"1"),), True), "ipv4:1.2.3.4:5", 14, "no"),
        (b"", ((), False), "ipv4:1.2.3.4:5", 0, ""),
    ]
    assert all(record[1] > 0 for record in traces._records)
    await traces.close()
    assert traces._process.returncode == 1


async def test_records_go_out_when_they_are_many_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A packet for each hundred, and one for the rest a moment later."""
    monkeypatch.setattr(module, "FLUSH_S", 0.001)
    traces = Traces(ALL, ECHO)
    method = traces.traced(echo)
    for _ in range(RECORDS_AT_ONCE + 1):
        await ask(method, b"x")
    async with asyncio.timeout(30):
        while traces._records:  # noqa: ASYNC110 - nothing tells when they are gone
            await asyncio.sleep(0.001)
    await traces.close()
    assert traces._process.returncode == 2


async def test_what_a_slow_sender_cannot_take_is_dropped() -> None:
    """Nothing waits, and nobody's answer suffers; one that does not end is ended."""
    traces = Traces(ALL, (sys.executable, "-c", "import time; time.sleep(600)"))
    method = traces.traced(echo)
    while not traces.dropped:
        await ask(method, b"x" * MESSAGE_BYTES_MAX)
    assert traces.dropped == RECORDS_AT_ONCE
    traces._process.kill()
    await traces.close()


async def test_a_sender_that_has_ended_is_started_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not at once and not again and again; what it had not taken is lost."""
    traces = Traces(ALL, ECHO)
    method, first = traces.traced(echo), traces._process
    first.kill()
    await asyncio.to_thread(first.wait)
    for _ in range(RECORDS_AT_ONCE):
        await ask(method, b"x")
    assert traces._process is first
    monkeypatch.setattr(module, "RESTART_S", 0)
    for _ in range(RECORDS_AT_ONCE):
        await ask(method, b"x")
    assert traces._process is not first
    assert "the process that sends traces has ended" in capsys.readouterr().out
    await ask(method, b"x")
    await traces.close()
    assert traces._process.returncode == 1


async def test_the_end_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sender that cannot get rid of its spans is killed."""
    monkeypatch.setattr(module, "SHUTDOWN_S", 0.01)
    traces = Traces(ALL, (sys.executable, "-c", "import time; time.sleep(600)"))
    await traces.close()
    assert "spans could not be sent" in capsys.readouterr().out


async def test_a_sender_that_cannot_be_started_is_an_error() -> None:
    """Whoever asks for traces hears at the start that there will be none."""
    with pytest.raises(OSError, match="none"):
        Traces(ALL, ("/none",))


@pytest.mark.parametrize(("transport", "protocol"), [("native", "http"), ("grpcio", "grpc")])
async def test_spans_reach_a_collector(transport: str, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From either transport, over either protocol, in the trace of the caller, when the service ends."""
    # The sender has the lowest priority, and beside other tests it waits long for its turn.
    monkeypatch.setattr(module, "SHUTDOWN_S", 90)
    monkeypatch.setattr(lifetime, "CLOSE_S_MAX", 100)
    async with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", getattr(collector, protocol))
        made = worker(GRPC_TRANSPORT=transport, TRACING_ENABLED="true", TRACING_EXPORTER_PROTOCOL=protocol,
                      TRACING_SAMPLING_RATE="0", TRACING_SERVICE_NAMESPACE="ns")  # fmt: skip
        made.swap(CONFIG)
        await made.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{made.grpc.port}") as channel:
            call: Any = channel.unary_unary(PATH)
            for flags in (b"00", b"01", b"00"):
                await call(ASK, metadata=(("traceparent", (W3C + b"-" + flags).decode()), ("tracestate", "v=1")))
        await made.close()
        found = await collector.of_call()
        resource, server = found[PATH[1:]]
        assert collector.spans.empty()
    assert resource["service.name"] == "RateLimit"
    assert resource["service.namespace"] == "ns"
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE.decode(), SPAN.decode())
    assert attributes_of(server)["net.sock.peer.addr"] in {"127.0.0.1", "::1"}
    assert attributes_of(server)["rpc.grpc.status_code"] == 0
    assert attributes_of(found["ShouldRateLimit Execution"][1])["domain"] == "d"


def test_nothing_of_opentelemetry_is_imported_where_it_is_not_wanted() -> None:
    """Neither without traces nor, with them, in the process that answers calls."""
    for on in ("false", "true"):
        code = f"""
import asyncio, sys
from ratelimit.app import make_app
from ratelimit.settings import load_settings
from ratelimit.worker import Worker
from ratelimit.metrics import Metrics
async def main():
    hosts = dict.fromkeys(("HOST", "GRPC_HOST", "DEBUG_HOST"), "127.0.0.1")
    ports = dict.fromkeys(("PORT", "GRPC_PORT", "DEBUG_PORT"), "0")
    settings = load_settings({{**hosts, **ports, "REDIS_URL": "/none", "TRACING_ENABLED": "{on}"}})
    made = Worker(settings, Metrics())
    await made.start()
    await made.close()
asyncio.run(main())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
        assert done.stdout.strip().endswith("[]")
