"""The port that all workers take calls on: bound here without listening, so that it is known, and stays ours.

With SO_REUSEPORT the kernel spreads connections over the sockets that listen. One that is only bound gets none; it
keeps the system from giving the port to others as a free one while workers come and go. Other processes of the same
user may listen beside the workers if they set SO_REUSEPORT too: whether one does is asked before, unless REUSE_PORT
allows it.
"""

import socket

from ratelimit.settings import ServerSettings
from ratelimit.settings.addresses import joined

_ALL_V6 = "::"
_ALL_V4 = "0.0.0.0"


class SharedPort:
    """Holds the port from `SharedPort(...)` to `close`. Raises OSError naming the address and its variables."""

    def __init__(self, settings: ServerSettings) -> None:
        host, port = settings.grpc_host, settings.grpc_port
        self._sockets: list[socket.socket] = []
        try:
            if port and not settings.reuse_port:
                for one in _bound(host, port, reuse_port=False):
                    one.close()
            self._sockets = _bound(host, port, reuse_port=True)
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"cannot listen for gRPC on {joined(host, port)} (GRPC_HOST, GRPC_PORT): {reason}") from None
        self.port: int = self._sockets[0].getsockname()[1]

    def close(self) -> None:
        """Let the port go; workers that still listen keep it."""
        for one in self._sockets:
            one.close()
        self._sockets.clear()


def _bound(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """A socket on the port for each address of `host`, as gRPC binds them: all interfaces are one of both families."""
    if host in {"", _ALL_V6, _ALL_V4}:
        families = [(socket.AF_INET, _ALL_V4)] if host == _ALL_V4 or not _has_ipv6() else [(socket.AF_INET6, _ALL_V6)]
    else:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        families = list(dict.fromkeys((family, str(address[0])) for family, _, _, _, address in found))
    sockets: list[socket.socket] = []
    try:
        for family, address in families:
            one = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address != _ALL_V6)
            one.bind((address, sockets[0].getsockname()[1] or port))
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
