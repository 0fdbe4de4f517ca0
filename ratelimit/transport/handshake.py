"""TLS before HTTP/2: each client is shown the certificate that is in force as it comes, and has to speak `h2`."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from ratelimit.transport.tls import ALPN


class Handshake(asyncio.Protocol):
    """The protocol of a client until TLS stands; then `connection` takes over.

    `admit` gives the context for it, or None where there is no room. `ended` is called when the handshake is over.
    """

    def __init__(
        self, connection: asyncio.Protocol, admit: Callable[["Handshake"], ssl.SSLContext | None], timeout_s: float
    ) -> None:
        self._connection = connection
        self._admit = admit
        self._timeout_s = timeout_s
        self._transport: Any = None
        self._task: asyncio.Task[None] | None = None
        self.ended: Callable[[Handshake], None] = lambda _: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        context = self._admit(self)
        if context is None:
            self._transport.abort()
            return
        self._transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._shake_hands(context))

    def cut(self) -> None:
        """End at once."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    async def _shake_hands(self, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            secure: Any = await loop.start_tls(
                self._transport,
                self._connection,
                context,
                server_side=True,
                ssl_handshake_timeout=self._timeout_s,
            )
        except (OSError, asyncio.CancelledError):
            # What fails in a handshake is the client's: a certificate that it does not like, or no TLS at all.
            self._transport.abort()
            return
        finally:
            self.ended(self)
        if secure is None or secure.is_closing():
            return
        if secure.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
            secure.abort()
            return
        self._connection.connection_made(secure)
