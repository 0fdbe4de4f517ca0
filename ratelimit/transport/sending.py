"""The sending half of an HTTP/2 connection: frames, and the windows that hold them back (RFC 9113 §5.2)."""

from collections.abc import Callable

from ratelimit.transport import frames
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.streams import AFTER_END_SENT, Outflow, State, Stream

RESET_IDS_MAX = 256
# So much DATA goes out in one turn; more waits with its stream until that is written.
OUTPUT_BYTES_MAX = 256 * 1024
# So much of complete answers may wait for the windows of one peer; one alone may be of any size.
HELD_BYTES_MAX = 4 * 1024 * 1024


class Sender:
    """Frames on their way out, and the streams they belong to.

    `on_output` is called when there is something to send and was nothing before. `window` is what the connection may
    still send, `stream_window` what a new stream may, in bytes.
    """

    def __init__(self, on_output: Callable[[], None]) -> None:
        self.on_output = on_output
        self.streams: dict[bytes, Stream] = {}
        self.orphans = 0
        self.output: list[bytes] = []
        # What else may be put before it is written: a peer that reads slowly has it in its windows, not in our memory.
        self._allowance = OUTPUT_BYTES_MAX
        self._paused = False
        self._held = 0
        self.window = frames.DEFAULT_WINDOW
        self.stream_window = frames.DEFAULT_WINDOW
        self._outflows: dict[bytes, Stream] = {}
        # Streams whose own window is open, and that wait for the connection's or for what was put to be written.
        self._starved: dict[bytes, Stream] = {}
        self._reset_ids: dict[bytes, None] = {}

    def data_to_send(self) -> bytes:
        """Everything that is to be written now."""
        data = b"".join(self.output)
        self.output.clear()
        if not self._paused:
            self._refill()
        return data

    def put(self, data: bytes) -> None:
        """Frames to send."""
        if not self.output:
            self.on_output()
        self.output.append(data)

    def pause(self) -> None:
        """What was written waits for the peer to read: no more DATA for now."""
        self._paused, self._allowance = True, 0

    def resume(self) -> None:
        """It was read."""
        self._paused = False
        self._refill()

    def send_headers(self, stream: Stream, block: bytes, *, end: bool = False) -> None:
        """Response headers, as an encoded block; it may be longer than a frame."""
        size = frames.FRAME_BYTES_MAX
        flags = frames.END_STREAM if end else 0
        if len(block) <= size:
            self.put(frames.frame(frames.HEADERS, flags | frames.END_HEADERS, stream.stream_id, block))
        else:
            pieces = [block[at : at + size] for at in range(0, len(block), size)]
            self.put(frames.frame(frames.HEADERS, flags, stream.stream_id, pieces[0]))
            for piece in pieces[1:-1]:
                self.put(frames.frame(frames.CONTINUATION, 0, stream.stream_id, piece))
            self.put(frames.frame(frames.CONTINUATION, frames.END_HEADERS, stream.stream_id, pieces[-1]))
        if end:
            self._end_sent(stream)
        else:
            self.outflow_of(stream).begun = True

    def send_data(self, stream: Stream, data: bytes, *, end: bool = False) -> None:
        """Body bytes, now or when the windows allow."""
        outflow = self.outflow_of(stream)
        # A view is cut into frames without copying what is left each time.
        outflow.queue.append((memoryview(data) if len(data) > frames.FRAME_BYTES_MAX else data, end))
        outflow.held += len(data)
        self._held += len(data)
        self._pump(stream, outflow)
        if outflow.held < self._held > HELD_BYTES_MAX and not stream.waiting:
            self.reset(stream, ErrorCode.ENHANCE_YOUR_CALM)

    def send_whole(self, stream: Stream, block: bytes, data: bytes) -> None:
        """Response headers and a short body that ends the stream."""
        size = len(data)
        if size > min(self.window, self.stream_window, self._allowance) or stream.outflow is not None:
            self.send_headers(stream, block)
            self.send_data(stream, data, end=True)
            return
        self.window -= size
        self._allowance -= size
        head = frames.frame(frames.HEADERS, frames.END_HEADERS, stream.stream_id, block)
        self.put(head + frames.frame(frames.DATA, frames.END_STREAM, stream.stream_id, data))
        self._end_sent(stream)

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """Trailers after all data; they end the stream."""
        if stream.state is State.CLOSED:  # its data was too much
            return
        outflow = self.outflow_of(stream)
        outflow.trailers = block
        self._pump(stream, outflow)

    def reset(self, stream: Stream, code: int = ErrorCode.CANCEL) -> None:
        """End a stream at once with RST_STREAM; what it had not sent is dropped."""
        self.put(frames.rst_stream(stream.stream_id, code))
        self.forget(stream)
        self.remember_reset(stream.stream_id)

    def reset_unread(self, now: float, after_s: float) -> None:
        """End streams whose answer is complete and has waited for longer than `after_s` for the peer to take it."""
        for stream in list(self._outflows.values()):
            outflow = stream.outflow
            if outflow is None or stream.waiting or not (outflow.queue or outflow.trailers):
                continue
            outflow.waits_since = min(outflow.waits_since, now)
            if now - outflow.waits_since > after_s:
                self.reset(stream)

    def go_away(self, last_stream_id: bytes, code: int = ErrorCode.NO_ERROR, reason: str = "") -> None:
        """A GOAWAY frame."""
        self.put(frames.goaway(last_stream_id, code, reason))

    def ping(self, data: bytes) -> None:
        """A PING; `data` are 8 bytes."""
        self.put(frames.frame(frames.PING, 0, frames.CONNECTION, data))

    def outflow_of(self, stream: Stream) -> Outflow:
        """What the stream has to send."""
        if stream.outflow is None:
            stream.outflow = Outflow(self.stream_window)
            self._outflows[stream.stream_id] = stream
        return stream.outflow

    def forget(self, stream: Stream) -> None:
        """The stream is over."""
        self.streams.pop(stream.stream_id, None)
        self._outflows.pop(stream.stream_id, None)
        self._starved.pop(stream.stream_id, None)
        stream.state = State.CLOSED
        outflow = stream.outflow
        if outflow is not None:
            self._held -= outflow.held
            outflow.held = 0
            outflow.queue.clear()

    def remember_reset(self, stream_id: bytes) -> None:
        """Frames of this stream may still be on their way: they are no fault."""
        self._reset_ids[stream_id] = None
        if len(self._reset_ids) > RESET_IDS_MAX:
            del self._reset_ids[next(iter(self._reset_ids))]

    def was_reset(self, stream_id: bytes) -> bool:
        """Whether the stream was reset not long ago."""
        return stream_id in self._reset_ids

    def widen(self, increment: int) -> None:
        """The connection may send so much more; who starved goes on."""
        self.window += increment
        self._feed_starved()

    def _refill(self) -> None:
        self._allowance = OUTPUT_BYTES_MAX
        if self._starved:
            self._feed_starved()

    def _feed_starved(self) -> None:
        while self._starved and self.window > 0 and self._allowance > 0:
            stream = self._starved.pop(next(iter(self._starved)))
            if stream.outflow is not None:
                self._pump(stream, stream.outflow)

    def widen_stream(self, stream: Stream, increment: int) -> None:
        """The stream may send so much more, or less."""
        outflow = self.outflow_of(stream)
        outflow.window += increment
        if outflow.queue:
            self._pump(stream, outflow)

    def widen_all(self, difference: int) -> int:
        """INITIAL_WINDOW_SIZE changed by so much; the largest window of a stream now."""
        self.stream_window += difference
        largest = self.stream_window
        for stream in list(self._outflows.values()):
            self.widen_stream(stream, difference)
            if stream.outflow is not None:
                largest = max(largest, stream.outflow.window)
        return largest

    def _pump(self, stream: Stream, outflow: Outflow) -> None:
        queue = outflow.queue
        while queue:
            data, end = queue[0]
            room = min(outflow.window, self.window, self._allowance, frames.FRAME_BYTES_MAX)
            if data and room <= 0:
                if outflow.window > 0:
                    self._starved[stream.stream_id] = stream
                return
            piece, rest = data[: max(room, 0)], data[max(room, 0) :]
            last = end and not rest
            self.put(frames.frame(frames.DATA, frames.END_STREAM if last else 0, stream.stream_id, piece))
            self._spent(outflow, len(piece))
            if rest:
                queue[0] = (rest, end)
            else:
                queue.popleft()
            if last:
                self._end_sent(stream)
                return
        if outflow.trailers is not None:
            self.send_headers(stream, outflow.trailers, end=True)
        elif stream.body is not None and stream.body.receiver is not None:
            stream.body.receiver.writable()

    def _spent(self, outflow: Outflow, size: int) -> None:
        self.window -= size
        self._allowance -= size
        outflow.window -= size
        outflow.held -= size
        self._held -= size

    def _end_sent(self, stream: Stream) -> None:
        stream.state = AFTER_END_SENT[stream.state]
        if stream.state is State.CLOSED:
            self.forget(stream)
        else:
            # RFC 9113 §8.1: the answer is complete before the request; the client need not send the rest.
            self.reset(stream, ErrorCode.NO_ERROR)
