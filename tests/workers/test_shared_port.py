import contextlib
import socket
from collections.abc import Iterator

import pytest

from ratelimit.settings import ServerSettings
from ratelimit.workers import shared_port
from ratelimit.workers.shared_port import SharedPort

LOOPBACK = "127.0.0.1"


def settings(port: int = 0, host: str = LOOPBACK, *, reuse_port: bool = False) -> ServerSettings:
    """Where to listen."""
    return ServerSettings(grpc_host=host, grpc_port=port, reuse_port=reuse_port)


@contextlib.contextmanager
def listener(port: int) -> Iterator[socket.socket]:
    """What a worker does."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((LOOPBACK, port))
        one.listen()
        yield one


def test_all_workers_share_one_free_port() -> None:
    """GRPC_PORT=0: one number for all, and connections come to those who listen only."""
    port = SharedPort(settings())
    with listener(port.port) as one, listener(port.port) as two:
        clients = [socket.create_connection((LOOPBACK, port.port)) for _ in range(20)]
        for each in (one, two):
            each.setblocking(False)
        accepted = []
        for each in (one, two):
            with contextlib.suppress(BlockingIOError):
                while True:
                    accepted.append(each.accept()[0])
        assert len(accepted) == len(clients)
        for connection in (*clients, *accepted):
            connection.close()
    port.close()


def test_a_port_of_others_is_refused_by_name() -> None:
    """Also where they would share it: half of the calls would silently go elsewhere."""
    port = SharedPort(settings())
    with listener(port.port):
        with pytest.raises(OSError, match=rf"{LOOPBACK}:{port.port} \(GRPC_HOST, GRPC_PORT\): Address already in use"):
            SharedPort(settings(port.port))
        SharedPort(settings(port.port, reuse_port=True)).close()
    port.close()
    SharedPort(settings(port.port)).close()


@pytest.mark.parametrize("host", ["", "::", "0.0.0.0", "localhost"])
def test_every_notation_of_a_host_is_bound(host: str) -> None:
    """All interfaces, of both families where there are two, and names."""
    port = SharedPort(settings(host=host))
    assert port.port
    port.close()


def test_a_machine_without_ipv6_has_its_interfaces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """All interfaces are those of IPv4 then."""
    assert shared_port._has_ipv6() in {True, False}
    monkeypatch.setattr(socket, "AF_INET6", 12345)
    port = SharedPort(settings(host=""))
    assert port.port
    port.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_an_error(host: str) -> None:
    """It names the variables."""
    with pytest.raises(OSError, match="GRPC_HOST"):
        SharedPort(settings(host=host))
