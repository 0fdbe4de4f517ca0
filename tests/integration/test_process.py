import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.demo.processes import LOOPBACK, Instance, config_map, start_service, until
from tests.service.test_rate_limit import ASK, CONFIG
from tests.transport.test_tls import certificate

pytestmark = pytest.mark.integration
PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"


class Instances:
    """Instances of the service that count in memory; all are ended after the test."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._root = config_map(folder / "runtime", CONFIG.decode())

    async def start(self, name: str, *, wait_serving: bool = True, **environ: str) -> Instance:
        """One more."""
        given = {"RUNTIME_ROOT": str(self._root), "RUNTIME_IGNOREDOTFILES": "true", "BACKEND_TYPE": "memory", **environ}
        instance = await start_service(name, self._folder, given, wait_serving=wait_serving)
        self._stack.push_async_callback(instance.program.stop, 9)
        return instance


@pytest_asyncio.fixture
async def instances(tmp_path: Path) -> AsyncIterator[Instances]:
    """None yet."""
    async with AsyncExitStack() as stack:
        yield Instances(tmp_path, stack)


async def test_a_drain_fails_no_call_of_a_grpcio_client(instances: Instances) -> None:
    """SIGTERM to one of two under load, with clients that ignore health: every call is answered, the exit code is 0."""
    both = [await instances.start(f"service-{n}", DRAIN_DELAY="200ms") for n in (1, 2)]
    addresses = ",".join(f"{LOOPBACK}:{instance.grpc_port}" for instance in both)
    codes, ended = Counter[grpc.StatusCode](), asyncio.Event()

    async def client(channel: grpc.aio.Channel) -> None:
        ask: Any = channel.unary_unary(PATH)
        while not ended.is_set():
            call = ask(ASK, timeout=20)
            codes[await call.code()] += 1

    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(f"ipv4:{addresses}", options) for _ in range(4)]
    load = asyncio.gather(*(client(channel) for channel in channels for _ in range(8)))
    await asyncio.sleep(0.5)  # some load before the signal
    assert await both[0].program.stop() == 0
    await asyncio.sleep(0.2)  # and some after
    ended.set()
    await load
    await asyncio.gather(*(channel.close() for channel in channels))
    assert list(codes) == [grpc.StatusCode.OK]


async def test_an_open_watch_ends_and_does_not_hold_the_stop(instances: Instances) -> None:
    """NOT_SERVING with the signal, UNAVAILABLE when the drain begins to close, long before DRAIN_GRACE is over."""
    instance = await instances.start("service", DRAIN_DELAY="200ms", DRAIN_GRACE="1h")
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{instance.grpc_port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="ratelimit"))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.ensure_future(instance.program.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert await watch.code() is grpc.StatusCode.UNAVAILABLE
        assert await stopping == 0


async def test_a_second_instance_on_the_same_port_ends_and_says_why(instances: Instances) -> None:
    """Address in use, naming the variable; the first goes on."""
    first = await instances.start("first")
    second = await instances.start("second", wait_serving=False, GRPC_PORT=str(first.grpc_port))
    assert await asyncio.wait_for(second.program.process.wait(), 60) == 1
    text = second.program.log.read_text()
    assert "Address already in use" in text
    assert "GRPC_PORT" in text
    assert first.program.process.returncode is None


async def test_two_instances_share_a_port_where_they_are_told_to(instances: Instances) -> None:
    """REUSE_PORT=true on both."""
    environ = {"REUSE_PORT": "true", "DRAIN_DELAY": "0"}
    first = await instances.start("first", **environ)
    second = await instances.start("second", wait_serving=False, GRPC_PORT=str(first.grpc_port), **environ)
    async with asyncio.timeout(60):
        while "serving" not in second.program.log.read_text():  # noqa: ASYNC110 - another process's log
            await asyncio.sleep(0.02)
    assert [await instance.program.stop() for instance in (first, second)] == [0, 0]


async def test_handshakes_that_fail_write_nothing(instances: Instances, tmp_path: Path) -> None:
    """A probe that speaks no TLS to a TLS port comes every second: gRPC's core must not write a line for each."""
    certificate_path, key_path = certificate(tmp_path, "server", "IP:127.0.0.1")
    files = {"GRPC_SERVER_TLS_CERT": certificate_path, "GRPC_SERVER_TLS_KEY": key_path}
    instance = await instances.start(
        "secured", wait_serving=False, GRPC_SERVER_USE_TLS="true", LOG_LEVEL="warn", DRAIN_DELAY="0", **files
    )
    await until(instance.program, lambda: _turned_away(instance.grpc_port), "listening")
    assert await _turned_away(instance.grpc_port)
    assert await instance.program.stop() == 0
    assert instance.program.log.read_text() == ""


async def _turned_away(port: int) -> bool:
    """Whether something listens that ends a connection which speaks HTTP/1."""
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await asyncio.wait([asyncio.ensure_future(reader.read())], timeout=30)
    writer.close()
    return True
