"""One connection of the native server on asyncio: feed, deliver, flush, and what takes time.

The protocol proper is connection.py, which knows no time. Here are the peer's address, the socket's back-pressure, and
what ends by a clock: calls at their deadline, a client that says nothing, one that does not read, age, drain.
"""

import asyncio
import math
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.metrics import GrpcStats
from ratelimit.transport.calls import Call, deliver
from ratelimit.transport.connection import Connection
from ratelimit.transport.grpc import CallHead
from ratelimit.transport.housekeeping import Caps, Event
from ratelimit.transport.tls import ALPN

DRAIN_PING = b"draining"
KEEPALIVE_PING = b"are you?"
# How long a client has to read GOAWAY and answer the PING behind it, in the first step of a graceful end.
GOAWAY_S_MAX = 5.0
# How long a client may take to close after we have, before it is cut off.
LINGER_S = 1.0
# Likewise after it broke the rules.
FAILED_LINGER_S = 0.5
STOPS = RpcError(GrpcStatus.UNAVAILABLE, "the service stops")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what is waited for, in seconds; and how much may wait for a client that reads slowly, in bytes."""

    handshake_s: float = 5.0
    keepalive_s: float = 30.0
    keepalive_answer_s: float = 10.0
    stalled_write_s: float = 60.0
    outbound_bytes_max: int = 1024 * 1024
    age_s: float = math.inf
    age_grace_s: float = math.inf


class Owner(Protocol):
    """The server, as its connections see it."""

    caps: Caps
    stats: GrpcStats

    def judge(self, fields: Mapping[bytes, bytes]) -> CallHead:
        """What a request's head means, and who serves it."""

    def has_output(self, connection: "NativeConnection") -> None:
        """`flush` it before this turn of the loop ends."""

    def opened(self, connection: "NativeConnection") -> bool:
        """Whether there is room for one more."""

    def closed(self, connection: "NativeConnection") -> None:
        """It is gone."""

    def violated(self, connection: "NativeConnection", reason: str) -> None:
        """It is ended, since its client broke the rules."""


class NativeConnection(asyncio.Protocol):
    """The asyncio protocol of one client."""

    def __init__(self, owner: Owner, patience: Patience) -> None:
        self._owner = owner
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._core = Connection(owner.caps, owner.judge, Call, self._has_output)
        self._transport: Any = None
        self._ending = False
        self._half_closed = False
        self._opened = self._heard = self._loop.time()
        self._pinged = math.inf
        self._stalled = math.inf
        self._drained_at = math.inf
        self._cut_at = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf

    @property
    def peer(self) -> str:
        """The client's address."""
        return self._core.peer

    @property
    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What TLS knows of the client."""
        return self._core.auth_context

    def read_parents(self) -> None:
        """Let calls tell their parents, from now on."""
        self._core.read_parents()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._core.peer, self._core.auth_context = peer_of(transport), auth_context_of(transport)
        if not speaks_h2(transport) or not self._owner.opened(self):
            self.cut()
            return
        set_options(transport, self._patience)
        self._core.begin()

    def data_received(self, data: bytes) -> None:
        now = self._heard = self._loop.time()
        self._deliver(self._core.receive_data(data, now))

    def _go_on(self) -> None:
        """Handle more of what was read; the others had their turn."""
        if not self._core.more or self._stalled < math.inf or self._transport.is_closing():
            return
        self._deliver(self._core.receive_more(self._loop.time()))
        if not (self._core.more or self._ending) and self._stalled == math.inf:
            self._transport.resume_reading()

    def _deliver(self, events: list[Event]) -> None:
        core = self._core
        if core.more:
            self._transport.pause_reading()
            self._loop.call_soon(self._go_on)
        if events:
            deliver(core, events)
        if core.pings_answered:
            self._ping_answered()
        if core.earliest_deadline < self._timer_at:
            self._wake_at(core.earliest_deadline)
        if core.failed and not self._ending:
            self._fail()
        elif core.closing and not core.streams and not core.output:
            self._end(LINGER_S)

    def eof_received(self) -> bool:
        """The client sends no more; what it asked is still answered, but over TLS, which closes both ways at once."""
        self._half_closed = True
        if self._transport.get_extra_info("ssl_object") is None and self._core.streams and not self._ending:
            self._core.close_gracefully(last=True)
            return True
        return False

    def connection_lost(self, _: Exception | None) -> None:
        self._ending = True
        if self._timer is not None:
            self._timer.cancel()
        deliver(self._core, self._core.lost())
        self._owner.closed(self)

    def pause_writing(self) -> None:
        """The client does not read: neither do we."""
        self._stalled = self._loop.time()
        self._core.pause()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._stalled = math.inf
        self._core.resume()
        if self._core.more:
            self._go_on()
        elif not self._ending:
            self._transport.resume_reading()

    def flush(self) -> None:
        """Write what there is, once; end where nothing is left to be said."""
        core, transport = self._core, self._transport
        data = core.data_to_send()
        if self._ending or transport.is_closing():
            return
        transport.write(data)
        if self._stalled < math.inf and transport.get_write_buffer_size() > self._patience.outbound_bytes_max:
            self.cut()
        elif core.closing and not core.streams and not core.output:
            self._end(LINGER_S)

    def drain(self) -> None:
        """Ask the client to go elsewhere, in two steps; streams without an end of their own end."""
        if self._ending:
            return
        self._stop_streams()
        if self._drained_at == math.inf:
            self._drained_at = self._loop.time()
            self._core.close_gracefully(last=False)
            self._core.ping(DRAIN_PING)

    def give_up(self) -> None:
        """Answer what is open with UNAVAILABLE, and end."""
        for stream in list(self._core.streams.values()):
            if stream.body is not None and stream.body.receiver is not None:
                stream.body.receiver.failed(STOPS)
            if stream.waiting:
                stream.fail(STOPS)  # type: ignore[attr-defined] # `Call` is what this connection makes of streams
        if not self._core.closing:
            self._core.close_gracefully(last=True)

    def cut(self) -> None:
        """End at once, whatever is lost."""
        self._ending = True
        self._transport.abort()

    def second(self, now: float) -> None:
        """Look at everything that takes time but calls; called about once a second."""
        core, patience = self._core, self._patience
        core.grant()
        core.reset_unread(now, patience.stalled_write_s)
        if now - self._stalled > patience.stalled_write_s:
            self._time_out()
        elif now >= self._cut_at:
            self.cut()
        elif self._ending:
            return
        elif not core.settings_received:
            if now - self._opened > patience.handshake_s:
                self._time_out()
        else:
            self._grow_old(now)
            self._keep_alive(now)

    def _time_out(self) -> None:
        self._owner.stats.cx_timeouts += 1
        self.cut()

    def _grow_old(self, now: float) -> None:
        patience, drained_s = self._patience, now - self._drained_at
        if self._core.closing:
            if drained_s > patience.age_grace_s and self._cut_at == math.inf:
                self.give_up()
                self._cut_at = now + LINGER_S  # a client that does not read would not let it end
        elif drained_s > GOAWAY_S_MAX:
            self._last_goaway()
        elif self._drained_at == math.inf and now - self._opened > patience.age_s:
            self.drain()

    def _keep_alive(self, now: float) -> None:
        patience = self._patience
        if self._heard >= self._pinged:
            self._pinged = math.inf
        unanswered_since = min(self._pinged, self._core.acknowledgements.oldest)
        if now - unanswered_since > patience.keepalive_answer_s:
            self._time_out()
        elif self._pinged == math.inf and now - self._heard > patience.keepalive_s:
            self._pinged = now
            self._core.ping(KEEPALIVE_PING)

    def _has_output(self) -> None:
        self._owner.has_output(self)

    def _ping_answered(self) -> None:
        answered, self._core.pings_answered = self._core.pings_answered, []
        for told in self._core.acknowledgements.take_ready():
            told()
        if DRAIN_PING in answered and self._drained_at < math.inf:
            self._last_goaway()

    def _stop_streams(self) -> None:
        for stream in list(self._core.streams.values()):
            if stream.body is not None and stream.body.receiver is not None:
                stream.body.receiver.stopping()

    def _last_goaway(self) -> None:
        if not self._core.closing:
            self._stop_streams()  # those that came since the first step
            self._core.close_gracefully(last=True)

    def _fail(self) -> None:
        """The client broke the rules: it is told, and nothing more is read."""
        self._owner.violated(self, self._core.failed)
        self._transport.write(self._core.data_to_send())
        self._end(FAILED_LINGER_S)
        self._transport.pause_reading()
        self._loop.call_later(FAILED_LINGER_S, self._transport.abort)
        deliver(self._core, self._core.lost())

    def _end(self, linger_s: float) -> None:
        """Say that nothing more comes, and let the client close: who closes first may cut off what it still reads."""
        if self._ending:
            return
        self._ending = True
        self._cut_at = self._loop.time() + linger_s
        if not self._transport.can_write_eof() or self._half_closed:
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the client was faster
            self._transport.abort()

    def _wake_at(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        """End the calls whose deadline passed, and wait for the next one."""
        now, following = self._loop.time(), math.inf
        self._timer, self._timer_at = None, math.inf
        for stream in list(self._core.streams.values()):
            if stream.deadline > now:
                following = min(following, stream.deadline)
            else:
                self._owner.stats.calls_expired += stream.waiting
                stream.expire()  # type: ignore[attr-defined] # `Call` is what this connection makes of streams
        self._core.earliest_deadline = following
        if following < math.inf:
            self._wake_at(following)


def speaks_h2(transport: asyncio.BaseTransport) -> bool:
    """Whether a client of TLS has chosen HTTP/2; without TLS it is asked nothing (prior knowledge)."""
    secure = transport.get_extra_info("ssl_object")
    return secure is None or secure.selected_alpn_protocol() == ALPN


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The client's address as gRPC writes it."""
    address = transport.get_extra_info("peername")
    if isinstance(address, tuple):
        kind = "ipv6" if len(address) > 2 else "ipv4"
        host = f"[{address[0]}]" if kind == "ipv6" else address[0]
        return f"{kind}:{host}:{address[1]}"
    return "unix:"


def auth_context_of(transport: asyncio.BaseTransport) -> Mapping[str, Any]:
    """What TLS knows of the client, by grpcio's names."""
    certificate = transport.get_extra_info("peercert")
    if transport.get_extra_info("sslcontext") is None:
        return {"transport_security_type": [b"insecure"]}
    names = [str(name).encode() for _, name in (certificate or {}).get("subjectAltName", ())]
    return {"transport_security_type": [b"ssl"], "x509_subject_alternative_name": names}


def set_options(transport: asyncio.BaseTransport, patience: Patience) -> None:
    """Tell the kernel to give a dead client up in time."""
    sock = transport.get_extra_info("socket")
    if (
        sock is not None
        and patience.keepalive_s < math.inf
        and sock.family != socket.AF_UNIX
        and hasattr(socket, "TCP_USER_TIMEOUT")
    ):
        limit_ms = int((patience.keepalive_s + patience.keepalive_answer_s) * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit_ms)
