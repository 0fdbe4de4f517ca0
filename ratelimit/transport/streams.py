"""Streams of HTTP/2 as a server sees them: their states as one table (RFC 9113 §5.1), and what is kept for each."""

import math
from collections import deque
from enum import Enum
from typing import Any

from ratelimit.transport.request_head import RequestHead


class State(Enum):
    """The states a client's stream can be in; idle and closed ones are not kept.

    ABANDONED is a closed stream whose call is still being worked on: nobody waits for its answer any more.
    """

    OPEN = "open"
    HALF_CLOSED_REMOTE = "half-closed (remote)"
    HALF_CLOSED_LOCAL = "half-closed (local)"
    CLOSED = "closed"
    ABANDONED = "abandoned"

    # Enum's own is written in Python; states are keys on the way of every request.
    __hash__ = object.__hash__


AFTER_END_RECEIVED = {State.OPEN: State.HALF_CLOSED_REMOTE, State.HALF_CLOSED_LOCAL: State.CLOSED}
AFTER_END_SENT = {State.OPEN: State.HALF_CLOSED_LOCAL, State.HALF_CLOSED_REMOTE: State.CLOSED}


class Body:
    """The request's body while it comes in pieces. Sizes in bytes.

    `window` is what the peer may still send, `received` what came, `owed` what was taken in and not yet given back to
    the peer's window. `held` is what lies here, in a message that is not whole or waits for the end of the request;
    `reader` and `receiver` are the gRPC layer's.
    """

    __slots__ = ("held", "owed", "reader", "received", "receiver", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.received = self.owed = self.held = 0
        self.reader: Any = None
        self.receiver: Any = None


class Outflow:
    """What a stream has to send and may not yet, as (data, ends the stream); `trailers` follow it.

    `begun` says whether response headers went out. `window` is what the stream may still send, `held` the bytes that
    wait, `waits_since` when it was first seen that an answer which is complete waits for the peer.
    """

    __slots__ = ("begun", "held", "queue", "trailers", "waits_since", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.held = 0
        self.begun = False
        self.waits_since = math.inf
        self.queue: deque[tuple[bytes | memoryview, bool]] = deque()
        self.trailers: bytes | None = None


class Stream:
    """One request and its answer; the gRPC layer extends it, so that a call is one object.

    `deadline` is in the time that the connection was told, `waiting` whether an answer is still wanted. `body` is None
    while nothing of it came, and where it came whole through the fast lane; `outflow` where nothing had to wait for the
    stream's window.
    """

    __slots__ = ("body", "connection", "deadline", "head", "outflow", "state", "stream_id", "waiting")

    def __init__(self, connection: Any, stream_id: bytes, head: RequestHead, deadline: float, state: State) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.head = head
        self.deadline = deadline
        self.state = state
        self.waiting = True
        self.body: Body | None = None
        self.outflow: Outflow | None = None
