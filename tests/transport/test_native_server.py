from ratelimit.settings import ServerSettings
from ratelimit.transport.native_server import NativeServer
from tests.transport.server_contract import ServerContract


class TestNativeServer(ServerContract):
    """Whatever grpcio's server does."""

    @staticmethod
    def make(settings: ServerSettings) -> NativeServer:
        """Our own server."""
        return NativeServer(settings)
