"""A TCP proxy that does to a connection what networks do, at the moment a test says.

    async with FaultProxy(port_of_the_server) as proxy:
        connect(proxy.port)
        proxy.replies.swallow = True       # the server's bytes disappear
        proxy.requests.delay_s = 0.1       # each piece of the client's bytes is held for so long
        proxy.replies.cut_after(10)        # ten bytes more, then the connection is reset
        proxy.replies.stall()              # nothing more is read; until flow()
        proxy.half_close()                 # the client reads the end of the stream, and may still write
        await proxy.reset()                # RST to both sides of every live connection
        await proxy.refuse()               # "connection refused", until accept()

It is written on sockets, not on transports: those would smooth over just what is wanted here.
"""

import asyncio
import socket
import struct
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
PIECE_BYTES_MAX = 64 * 1024
# Lingering for zero seconds: closing throws away what is unsent and sends RST instead of FIN.
RST_ON_CLOSE = struct.pack("ii", 1, 0)


class CutError(Exception):
    """The bytes of `cut_after` have passed."""


class Direction:
    """What happens to the bytes that flow one way, on every connection of the proxy."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.swallow = False
        self.bytes_seen = 0
        self._left: int | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._arrived = asyncio.Condition()

    def cut_after(self, size: int) -> None:
        """Let `size` more bytes pass, then reset the connection that brought the last of them."""
        self._left = size

    def leave_whole(self) -> None:
        """Cut nothing any more."""
        self._left = None

    def stall(self) -> None:
        """Read no more; a piece that is on its way is held."""
        self._flowing.clear()

    def flow(self) -> None:
        """Read again."""
        self._flowing.set()

    async def seen(self, size: int) -> None:
        """Wait until `size` bytes came in all, those swallowed included."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.bytes_seen >= size)

    async def pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Move bytes until the end of the stream, which is handed on. Raises OSError and CutError."""
        loop = asyncio.get_running_loop()
        while True:
            await self._flowing.wait()
            data = await loop.sock_recv(source, PIECE_BYTES_MAX)
            swallowed = self.swallow  # what holds when bytes arrive is their fate, whatever the test does next
            await self._note(len(data))
            await self._flowing.wait()
            await asyncio.sleep(self.delay_s)
            passing = data if self._left is None else data[: self._left]
            try:
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                elif not swallowed:
                    await loop.sock_sendall(sink, passing)
            except BrokenPipeError:  # this way is half-closed already; the other one goes on
                return
            if not data:
                return
            self._cut(len(passing))

    async def _note(self, size: int) -> None:
        async with self._arrived:
            self.bytes_seen += size
            self._arrived.notify_all()

    def _cut(self, passed: int) -> None:
        if self._left is None:
            return
        self._left -= passed
        if self._left == 0:
            self._left = None
            raise CutError


class FaultProxy:
    """Listens on a free loopback port while entered, and forwards to `target_port`."""

    def __init__(self, target_port: int) -> None:
        self._target = (LOOPBACK, target_port)
        self._links: dict[asyncio.Task[None], tuple[socket.socket, socket.socket]] = {}
        self._listener: socket.socket | None = None
        # Bound and never listening: it keeps the port ours while connections are refused.
        self._holder = socket.socket()
        self.requests = Direction()
        self.replies = Direction()
        self.accepted = 0
        self.port = 0

    @property
    def live(self) -> int:
        """How many connections there are."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind((LOOPBACK, 0))
        self.port = self._holder.getsockname()[1]
        self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()
        await self.reset()
        self._holder.close()

    def accept(self) -> None:
        """Take new connections."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((LOOPBACK, self.port))
        listener.listen()
        self._listener = listener
        # Not sock_accept: cancelled in the turn in which a client comes, it takes the client and drops it.
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def refuse(self) -> None:
        """Refuse new connections; live ones go on."""
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()

    async def reset(self) -> None:
        """End every live connection with RST to both sides."""
        links = dict(self._links)
        for sockets in links.values():
            _rst_on_close(*sockets)
        await _cancelled(*links)

    def half_close(self) -> None:
        """Send the client of every live connection the end of the stream; what it writes still reaches the server."""
        for client, _ in self._links.values():
            client.shutdown(socket.SHUT_WR)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # it went before it was taken
            return
        client.setblocking(False)
        server = socket.socket()
        server.setblocking(False)
        self.accepted += 1
        link = asyncio.create_task(self._carry(client, server))
        self._links[link] = client, server
        link.add_done_callback(self._close)

    async def _carry(self, client: socket.socket, server: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().sock_connect(server, self._target)
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self.requests.pump(client, server))
                ways.create_task(self.replies.pump(server, client))
        except* (OSError, CutError):  # what one side does to us, the other is to see
            _rst_on_close(client, server)

    def _close(self, link: asyncio.Task[None]) -> None:
        # Here and not in the task: one that is cancelled before its first step would close nothing.
        for each in self._links.pop(link):
            each.close()


def _rst_on_close(*sockets: socket.socket) -> None:
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_ON_CLOSE)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
