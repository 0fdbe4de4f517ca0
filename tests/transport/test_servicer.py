from ratelimit.settings import ServerSettings
from ratelimit.transport.grpcio_server import GrpcioServer
from ratelimit.transport.native_server import NativeServer
from tests.transport.servicer_contract import ServicerContract


class TestOnGrpcio(ServicerContract):
    """The oracle."""

    @staticmethod
    def make(settings: ServerSettings) -> GrpcioServer:
        """The server of grpcio."""
        return GrpcioServer(settings)


class TestOnNative(ServicerContract):
    """Whatever grpcio's server does."""

    @staticmethod
    def make(settings: ServerSettings) -> NativeServer:
        """Our own server."""
        return NativeServer(settings)
