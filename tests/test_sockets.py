import socket

import pytest

from ratelimit.sockets import listening_sockets, refuse_newcomers


@pytest.mark.parametrize("host", ["", "::", "::1", "127.0.0.1", "localhost"])
async def test_every_host_listens_on_one_port(host: str) -> None:
    """Whichever families the host has."""
    sockets = await listening_sockets(host, 0, reuse_port=False)
    assert len({one.getsockname()[1] for one in sockets}) == 1
    for one in sockets:
        one.close()


async def test_a_machine_without_ipv6_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty host means what the machine has."""
    real = socket.socket

    def only_ipv4(family: int = socket.AF_INET, *rest: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(family, *rest)

    monkeypatch.setattr(socket, "socket", only_ipv4)
    (one,) = await listening_sockets("", 0, reuse_port=False)
    assert one.family == socket.AF_INET
    one.close()


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    """The error is the system's, and no socket is left behind (an open one would be a warning, and so a failure)."""
    (held,) = await listening_sockets("127.0.0.1", 0, reuse_port=False)
    with pytest.raises(OSError, match="Address already in use"):
        await listening_sockets("127.0.0.1", held.getsockname()[1], reuse_port=False)
    held.close()


async def test_newcomers_are_kept_out_and_those_in_the_queue_are_not() -> None:
    """Who has connected is accepted; who comes now is not answered, until the port is closed."""
    (listener,) = await listening_sockets("127.0.0.1", 0, reuse_port=False)
    port = listener.getsockname()[1]
    early = socket.create_connection(("127.0.0.1", port))
    refuse_newcomers(listener.fileno())
    with pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", port), timeout=0.05)
    accepted, _ = listener.accept()
    for one in (early, accepted, listener):
        one.close()
