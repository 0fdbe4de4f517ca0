"""Addresses as people write them, and sockets that listen there.

`HOST` and the like take an IPv4 or IPv6 address, with or without brackets, or a name; an empty value and `::` mean all
interfaces of both families, as for Go programs, and `0.0.0.0` those of IPv4 only.
"""

import asyncio
import errno
import socket

# So many may be accepted in one turn of the loop, before those that must make room for them are closed.
BACKLOG = 100
_ALL_V6 = "::"
_ALL_V4 = "0.0.0.0"
_NOT_ON_THIS_MACHINE = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL))


def host_and_port(address: str) -> tuple[str, int]:
    """Split `:9090`, `0.0.0.0:9090`, `[::1]:9090` or `[::]:9090`. Raises ValueError for an address without a port."""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in host and host[0] != "["):
        raise ValueError(f"{address!r} is no address; host:port is wanted, for instance :9090 or [::1]:9090")
    return host.strip("[]"), int(port)


def shown(host: str, port: int) -> str:
    """The address as a person writes it."""
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def listening_sockets(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """Bind and listen on every address of `host`, with one port for all (a free one for 0). Raises OSError."""
    host = host.strip("[]")
    if not host:
        try:
            return [_listening(socket.AF_INET6, (_ALL_V6, port), reuse_port=reuse_port)]
        except OSError as error:
            if error.errno not in _NOT_ON_THIS_MACHINE:
                raise
            host = _ALL_V4
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        place = (address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:])
        try:
            sockets.append(_listening(family, place, reuse_port=reuse_port))
        except OSError as error:
            refused = error
            if error.errno not in _NOT_ON_THIS_MACHINE:
                break
    if refused is not None and (not sockets or refused.errno not in _NOT_ON_THIS_MACHINE):
        for one in sockets:
            one.close()
        raise refused
    return sockets


def _listening(family: int, address: tuple[object, ...], *, reuse_port: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address[0] != _ALL_V6)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
