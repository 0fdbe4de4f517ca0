import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.demo.processes import free_port
from ratelimit.admin import listener
from tests.admin.running import ASK, Admin, until

Start = Callable[..., Awaitable[Admin]]
GET = b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n"


POST = b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(ASK), ASK)


async def never(_: bytes) -> bytes:
    """An answer that does not come."""
    return await asyncio.get_running_loop().create_future()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What still came before the other end closed."""
    found = bytearray()
    try:
        while data := await asyncio.wait_for(reader.read(65536), 30):
            found += data
    except ConnectionResetError:
        pass
    return bytes(found)


@pytest.mark.parametrize("sent", [b"", b"GET /healthcheck HTTP/1.1\r\n", GET[:-2]], ids=["silent", "line", "open"])
async def test_a_header_has_its_time(started: Start, sent: bytes) -> None:
    """Whoever has not sent a whole one by HTTP_HEADER_TIMEOUT is closed, without an answer."""
    admin = await started({"http_header_timeout": 0.05})
    reader, writer = await admin.connect()
    writer.write(sent)
    assert await ended(reader) == b""
    assert admin.metrics.http.cx_timeouts == 1
    assert admin.metrics.http.cx_active == 0
    writer.close()


async def test_drops_of_a_header_do_not_prolong_its_time(started: Start) -> None:
    """Slowloris: a line now and then keeps nothing open."""
    admin = await started({"http_header_timeout": 0.2})
    reader, writer = await admin.connect()
    writer.write(b"GET /healthcheck HTTP/1.1\r\n")

    async def drip() -> None:
        while not reader.at_eof():
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.01)  # the drops of the attack

    dripping = asyncio.ensure_future(drip())
    assert await ended(reader) == b""
    dripping.cancel()
    writer.close()


async def test_the_next_header_of_a_connection_has_its_time_too(started: Start) -> None:
    """It begins with its first byte: a connection kept alive may rest longer."""
    admin = await started({"http_header_timeout": 0.05})
    reader, writer = await admin.connect()
    for _ in range(2):
        writer.write(GET)
        assert (await reader.readline()).startswith(b"HTTP/1.1 500")
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)  # twice the time that a header has
    writer.write(b"GET /")
    assert await ended(reader) == b""
    assert admin.metrics.http.cx_timeouts == 1
    writer.close()


async def test_a_connection_that_rests_is_closed(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """After KEEPALIVE_S without another request; that is no timeout of a header."""
    monkeypatch.setattr(listener, "KEEPALIVE_S", 0.05)
    admin = await started()
    reader, writer = await admin.connect()
    writer.write(GET)
    assert (await ended(reader)).startswith(b"HTTP/1.1 500 ")
    assert admin.metrics.http.cx_timeouts == 0
    writer.close()


async def test_a_body_has_its_time(started: Start) -> None:
    """As much as a header."""
    admin = await started({"http_header_timeout": 0.05})
    reader, writer = await admin.connect()
    writer.write(b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    assert await ended(reader) == b""
    assert admin.metrics.http.cx_timeouts == 1
    writer.close()


async def test_an_answer_has_its_time(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """BUSY_S, whatever the handler waits for."""
    monkeypatch.setattr(listener, "BUSY_S", 0.05)
    admin = await started()
    monkeypatch.setattr(admin.service, "ask", never)
    reader, writer = await admin.connect()
    writer.write(POST)
    assert await ended(reader) == b""
    writer.close()


async def test_silent_connections_keep_nobody_out(started: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """300 of them, three times the cap: each probe is answered, the cap holds, and the log has one line of it."""
    admin = await started({"http_connections_max": 100})
    silent = []
    for number in range(300):
        silent.append(await admin.connect())
        if number % 50 == 49:
            assert await admin.get("http", "/healthcheck") == (500, "")
        assert admin.metrics.http.cx_active <= 100
    assert admin.metrics.http.cx_refused >= 200
    for _, writer in silent:
        writer.close()
    await until(lambda: admin.metrics.http.cx_active <= 50)
    shown = capsys.readouterr().out
    assert shown.count("HTTP_CONNECTIONS_MAX is reached") == shown.count("HTTP connections are few again") == 1


async def test_open_bodies_keep_nobody_out(started: Start) -> None:
    """A connection that is still sending its body makes room as a silent one does."""
    admin = await started({"http_connections_max": 2})
    slow = [await admin.connect() for _ in range(2)]
    for _, writer in slow:
        writer.write(b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    assert (await admin.get("http", "/healthcheck"))[0] == 500
    for _, writer in slow:
        writer.close()


async def test_busy_connections_are_not_displaced(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every connection of the cap is being answered, the new one is closed at once."""
    admin = await started({"http_connections_max": 2})
    answer = asyncio.Event()

    async def ask(_: bytes) -> bytes:
        await answer.wait()
        return b""

    monkeypatch.setattr(admin.service, "ask", ask)
    busy = [await admin.connect() for _ in range(2)]
    for _, writer in busy:
        writer.write(POST)
    await until(lambda: admin.metrics.http.cx_active == 2 and not admin.server._listeners[0]._waiting)
    reader, writer = await admin.connect()
    assert await ended(reader) == b""
    writer.close()
    answer.set()
    for reader, writer in busy:
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        writer.close()


async def test_bytes_that_are_no_http_leave_no_traceback(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    """They are answered with 400 and closed; a flood of them is not a flood of the log."""
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n\r\n",
        b"\x00" * 99,
    ):
        reader, writer = await admin.connect()
        writer.write(garbage)
        writer.write_eof()
        assert (await ended(reader))[:12] in {b"", b"HTTP/1.0 400", b"HTTP/1.1 400"}
        writer.close()
    assert not caplog.records


async def test_closing_ends_every_connection(started: Start) -> None:
    """Silent ones too: nothing keeps the process from ending."""
    admin = await started()
    reader, writer = await admin.connect()
    await until(lambda: admin.metrics.http.cx_active > 0)
    await admin.server.close()
    assert await ended(reader) == b""
    assert admin.metrics.http.cx_active == 0
    writer.close()


async def answer(port: int) -> bytes:
    """The first line of an answer; nothing where the connection is closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(GET)
        return await reader.readline()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


OUT_OF_FILES = """
import asyncio, os, resource, uvloop
from tests.admin.running import Admin, settings

async def main():
    admin = Admin(settings())
    await admin.server.start()
    port = admin.server.ports["http"]
    # Room for a few connections only, less than the cap.
    resource.setrlimit(resource.RLIMIT_NOFILE, (os.open("/dev/null", os.O_RDONLY) + 8, 4096))
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, input)
    await admin.server.close()

asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main())
"""


async def test_accepting_survives_a_process_out_of_files() -> None:
    """On production's loop: connections that no descriptor was left for are closed, and later ones are served."""
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OUT_OF_FILES, stdin=pipe, stdout=pipe, stderr=pipe
    )
    assert process.stdout is not None
    try:
        port = int(await process.stdout.readline())
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        closed = [asyncio.ensure_future(ended(reader)) for reader, _ in silent]
        await asyncio.wait(closed, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        for _, writer in silent:
            writer.close()
        await asyncio.gather(*closed)
        async with asyncio.timeout(30):
            # The first of these may come before the process has closed what we closed.
            while not (await answer(port)).startswith(b"HTTP/1.1 500"):
                pass
    finally:
        _, errors = await asyncio.wait_for(process.communicate(b"\n"), 30)
    assert (process.returncode, errors) == (0, b"")


# The cap of 200, a backlog of 100, and what the process itself needs.
SERVICE = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400))
from ratelimit.__main__ import main
main([])
"""


async def serving(port: int) -> bool:
    """Whether a new gRPC connection is answered, as soon as there is one."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def test_silent_connections_take_nothing_from_grpc(tmp_path: Path) -> None:
    """A process with 400 descriptors and 600 silent connections on its HTTP port: gRPC and the probe are answered."""
    (tmp_path / "config").mkdir()
    names = ("PORT", "GRPC_PORT", "DEBUG_PORT", "PROMETHEUS_PORT")
    ports = {name: free_port() for name in names}
    environ = {name: str(port) for name, port in ports.items()}
    environ |= {"BACKEND_TYPE": "memory", "RUNTIME_ROOT": str(tmp_path), "RUNTIME_WATCH_ROOT": "false"}
    environ |= {"DRAIN_DELAY": "0", "PROMETHEUS_ADDR": f":{environ.pop('PROMETHEUS_PORT')}"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVICE, env=environ)
    try:
        assert await serving(ports["GRPC_PORT"])
        silent = [await asyncio.open_connection("127.0.0.1", ports["PORT"]) for _ in range(600)]
        assert await serving(ports["GRPC_PORT"])
        assert await asyncio.wait_for(answer(ports["PORT"]), 30) == b"HTTP/1.1 200 OK\r\n"
        for _, one in silent:
            one.close()
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 30)
