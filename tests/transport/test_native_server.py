import asyncio
import contextlib

from structlog.testing import capture_logs

from ratelimit.metrics import GrpcStats
from ratelimit.settings import ServerSettings
from ratelimit.transport.native_server import NativeServer
from tests.transport.server_contract import ServerContract


class TestNativeServer(ServerContract):
    """Whatever grpcio's server does."""

    @staticmethod
    def make(settings: ServerSettings) -> NativeServer:
        """Our own server."""
        return NativeServer(settings)


async def test_connections_are_counted_and_bounded() -> None:
    """One more than GRPC_MAX_CONNECTIONS is closed at once; a client that breaks the rules is told of once."""
    stats = GrpcStats()
    settings = ServerSettings(grpc_host="127.0.0.1", grpc_port=0, grpc_max_connections=1)
    server = NativeServer(settings, stats)
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await reader.readexactly(9)  # its SETTINGS: it is taken in
        refused, other = await asyncio.open_connection("127.0.0.1", server.port)
        with contextlib.suppress(ConnectionResetError):
            assert await refused.read() == b""
        with capture_logs() as logs:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            await reader.read()
        assert (stats.cx_total, stats.cx_refused, stats.cx_violations) == (1, 1, 1)
        assert [line["reason"] for line in logs] == ["PROTOCOL_ERROR: this is not HTTP/2"]
        writer.close()
        other.close()
    finally:
        await server.stop(0)
    assert (server.connections, stats.cx_active) == (0, 0)
