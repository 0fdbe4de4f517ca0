from ratelimit.settings import ServerSettings
from ratelimit.transport.grpcio_server import GrpcioServer
from tests.transport.server_contract import ServerContract


class TestGrpcioServer(ServerContract):
    """The oracle."""

    @staticmethod
    def make(settings: ServerSettings) -> GrpcioServer:
        """The server of grpcio."""
        return GrpcioServer(settings)
