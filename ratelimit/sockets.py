"""Sockets that listen on a host and a port.

An empty host and `::` mean all interfaces of both families, as for Go programs, and `0.0.0.0` those of IPv4 only.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
import socket
import stat
import struct
import sys
from pathlib import Path

# So many may be accepted in one turn of the loop, before those that must make room for them are closed.
BACKLOG = 100
_SO_ATTACH_FILTER = 26
# A socket filter (classic BPF): drop a segment whose flags, byte 13 of its header, have SYN and not ACK.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # yes: take nothing of it
    (0x06, 0, 0, 0xFFFFFFFF),  # no: take all of it
)
_ALL_V6 = "::"
_ALL_V4 = "0.0.0.0"
_NOT_ON_THIS_MACHINE = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL))


async def listening_sockets(host: str, port: int, *, reuse_port: bool) -> list[socket.socket]:
    """Bind and listen on every address of `host`, with one port for all (a free one for 0). Raises OSError."""
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


def refuse_newcomers(listener: int) -> None:
    """Let nobody begin to connect to a listening socket any more, given by its file descriptor.

    Whoever has begun still gets into its queue. Closing a queue with somebody in it would reset a client that may have
    sent its call; one whose first segment is dropped tries again a second later, and is refused in plain words.
    """
    with socket.socket(fileno=os.dup(listener)) as queue:
        if queue.family != socket.AF_UNIX and sys.platform == "linux":
            program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_SYN))
            with contextlib.suppress(OSError):  # a kernel without it: the queue is as short as it can be
                queue.setsockopt(
                    socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program))
                )
        queue.listen(0)


def unix_socket(path: str, backlog: int) -> socket.socket:
    """Listen on a path; a socket that nobody serves any more is taken away from it. Raises OSError."""
    if is_served(path):
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if Path(path).exists() and stat.S_ISSOCK(Path(path).stat().st_mode):
            Path(path).unlink()
        listener.setblocking(False)
        listener.bind(path)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def is_served(path: str) -> bool:
    """Whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def remove_unix_socket(path: str) -> None:
    """Leave no path behind that nobody serves."""
    Path(path).unlink(missing_ok=True)


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
