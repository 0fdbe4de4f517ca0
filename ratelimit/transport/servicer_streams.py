"""The two directions of a call that a coroutine serves: requests that wait to be read, and responses on their way."""

import asyncio
from collections import deque

from ratelimit.errors import GrpcStatus
from ratelimit.transport import grpc
from ratelimit.transport.calls import Call
from ratelimit.transport.streams import AFTER_END_SENT

# A method that reads slowly holds its client back at so many bytes, and one that writes fast waits at so many.
UNREAD_BYTES_MAX = 1024 * 1024
HELD_BYTES_MAX = 64 * 1024
# What a message takes beside its bytes: an empty one is not free either.
MESSAGE_COST_BYTES = 64
# How long a client that does not read may keep the last messages of a stream that was broken off.
LAST_WRITE_S_MAX = 1.0


class Requests:
    """Messages that the method has not read yet. They count among what lies unfinished in their connection."""

    def __init__(self, call: Call) -> None:
        self.full = False
        self.ended = False
        self._call = call
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes) -> None:
        """One more came."""
        self._messages.append(message)
        self._add(len(message) + MESSAGE_COST_BYTES)
        self._changed.set()

    def end(self) -> None:
        """No more will come."""
        self.ended = True
        self._changed.set()

    async def next(self) -> bytes | None:
        """The next message, None after the last."""
        while not self._messages:
            if self.ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        message = self._messages.popleft()
        self._add(-len(message) - MESSAGE_COST_BYTES)
        self._call.connection.pay_back(1)
        return message

    def drop(self) -> None:
        """Nobody will read what is left."""
        self.full = False
        self._call.connection.buffered -= self._bytes
        self._bytes = 0
        self._messages.clear()

    def _add(self, size: int) -> None:
        connection = self._call.connection
        self._bytes += size
        connection.buffered += size
        # Where many streams fill the connection, each has to wait for its reader before the bound of all is reached.
        crowded = connection.buffered * 2 > connection.caps.buffered_bytes_max
        was_full, self.full = self.full, self._bytes > (0 if crowded else UNREAD_BYTES_MAX)
        if was_full and not self.full:
            connection.give_back(self._call, 0)


class Responses:
    """What goes out: headers once, messages, and a status that ends the call. Nothing goes out once it is over."""

    def __init__(self, call: Call) -> None:
        self.begun = False
        self.ended = False
        self._call = call
        self._writable = asyncio.Event()
        # Who waits until what was written has left for the peer, to ask then whether it has come.
        self._unsent: list[asyncio.Future[None]] = []

    def begin(self, metadata: grpc.Metadata = ()) -> None:
        """Send the headers, with initial metadata."""
        self.begun = True
        self._call.connection.send_headers(self._call, grpc.response_headers(metadata))

    def message(self, message: bytes) -> None:
        """Send a message. Its place is in a call that is waiting."""
        if not self.begun:
            self.begin()
        # The peer has to give this back to our window: its frames for that are no fault.
        self._call.connection.pay_back(1)
        self._call.connection.send_data(self._call, grpc.frame_message(message))

    async def room(self) -> None:
        """Wait until more may be sent, at least for a turn of the loop: other calls come to their right meanwhile."""
        await asyncio.sleep(0)
        while self._call.waiting and self._is_held():
            self._writable.clear()
            await self._writable.wait()

    def acknowledged(self) -> "asyncio.Future[None]":
        """Done when the peer has read every message until now; cancelled where that will not be known."""
        read = asyncio.get_running_loop().create_future()
        if self._call.outflow is not None and self._call.outflow.queue:
            self._unsent.append(read)
        else:
            self._ask(read)
        return read

    def writable(self) -> None:
        """Wake who waits for room."""
        self._writable.set()
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            for read in unsent:
                self._ask(read)

    def end(self, status: int, details: str = "", metadata: grpc.Metadata = ()) -> None:
        """End the call, once."""
        call = self._call
        # Asked a second time, `begin_end` would take the work for done.
        if not call.waiting or not call.begin_end():
            return
        self.ended = True
        block = grpc.trailers(status, details, metadata)
        if not self.begun and status == GrpcStatus.OK:
            self.begin()
        if self.begun:
            call.connection.send_trailers(call, block)
        else:
            call.connection.send_headers(call, grpc.RESPONSE_HEADERS + block, end=True)
        self._writable.set()
        self.forget_unsent()

    def give_up(self, after_s: float) -> None:
        """Let what is still on its way go out for so long, then drop it. Only for a call that is over."""
        if self._call.state not in AFTER_END_SENT:
            return
        if after_s > 0:
            asyncio.get_running_loop().call_later(after_s, self.give_up, 0)
        else:
            self._call.connection.reset(self._call)

    def forget_unsent(self) -> None:
        """The call is over: what waits to be sent is of no interest any more."""
        unsent, self._unsent = self._unsent, []
        for read in unsent:
            read.cancel()

    def _ask(self, read: "asyncio.Future[None]") -> None:
        def told() -> None:
            if not read.done():
                read.set_result(None)

        if not self._call.connection.acknowledgements.ask(told, asyncio.get_running_loop().time()):
            read.cancel()

    def _is_held(self) -> bool:
        outflow = self._call.outflow
        return outflow is not None and outflow.held > HELD_BYTES_MAX
