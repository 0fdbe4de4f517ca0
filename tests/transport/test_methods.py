from ratelimit.settings import ServerSettings
from ratelimit.transport.grpcio_server import GrpcioServer
from ratelimit.transport.methods import GrpcServer


async def test_the_transport_fills_the_seam() -> None:
    """Grpcio's server is one implementation of GrpcServer."""
    server: GrpcServer = GrpcioServer(ServerSettings())
    assert server.connections is None
    await server.stop(0)
