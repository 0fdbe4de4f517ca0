"""Knowing what the peer has read: a PING behind what was sent, whose answer says that all before it has come.

HTTP/2 has no acknowledgement of DATA. But a peer takes frames in their order and must answer each PING (RFC 9113 §6.7),
so an answer to one that was sent behind a message tells that the message is no longer on its way. It is told hop by
hop: where a proxy stands between, it is the proxy that has read.
"""

import math
from collections import deque
from collections.abc import Callable

from ratelimit.transport import frames

Told = Callable[[], None]
# So many PINGs are on their way at a time; who asks meanwhile shares the next one.
OUTSTANDING_MAX = 16
# So many may wait to be told on one connection: a peer that never answers must not make us remember more.
WAITING_MAX = 1000
_MARK = b"read"


class Acknowledgements:
    """The PINGs of one connection that somebody waits for. `put` sends frames behind all that was sent before."""

    def __init__(self, put: Callable[[bytes], None], output: list[bytes]) -> None:
        self._put = put
        self._output = output
        self._count = 0
        self._last_frame = b""
        self._outstanding: deque[tuple[bytes, float, list[Told]]] = deque()
        self._next: list[Told] = []
        self._ready: list[Told] = []
        self._waiting = 0

    @property
    def oldest(self) -> float:
        """When the PING was sent that waits longest, infinity for none."""
        return self._outstanding[0][1] if self._outstanding else math.inf

    def ask(self, told: Told, now: float) -> bool:
        """Call `told` once the peer has read all that was sent until now. False where too many wait already."""
        if self._waiting >= WAITING_MAX:
            return False
        self._waiting += 1
        if self._outstanding and self._output and self._output[-1] is self._last_frame:
            self._outstanding[-1][2].append(told)  # nothing was sent since: the same PING is behind it all
        else:
            self._next.append(told)
            self._send(now)
        return True

    def answered(self, data: bytes, now: float) -> bool:
        """Take the answer to a PING: whether somebody waits for it. It answers those before it too."""
        if not any(data == sent for sent, _, _ in self._outstanding):
            return False
        sent = b""
        while sent != data:
            sent, _, waited = self._outstanding.popleft()
            self._ready += waited
        self._send(now)
        return True

    def take_ready(self) -> list[Told]:
        """Those whose answers have come since."""
        ready, self._ready = self._ready, []
        self._waiting -= len(ready)
        return ready

    def _send(self, now: float) -> None:
        if not self._next or len(self._outstanding) >= OUTSTANDING_MAX:
            return
        self._count = (self._count + 1) & 0xFFFFFFFF
        data = _MARK + self._count.to_bytes(4, "big")
        self._outstanding.append((data, now, self._next))
        self._next = []
        self._last_frame = frames.frame(frames.PING, 0, frames.CONNECTION, data)
        self._put(self._last_frame)
