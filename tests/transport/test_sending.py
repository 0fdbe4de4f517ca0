import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.transport import frames
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.grpc import frame_message
from ratelimit.transport.sending import OUTPUT_BYTES_MAX, RESET_IDS_MAX
from tests.transport.core import Client, Frame, answer_of, data, headers, id_of, parsed, request_fields, rst, whole


def narrow(stream_window: int, *, streams: int = 1, fill: int = 0) -> Client:
    """A client with calls 1, 3, ... that lets each stream be sent so much; `fill` leaves so much for all."""
    client = Client()
    client.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31 - 1}))
    if fill:
        client.feed(whole(1))
        client.calls.pop().reply(bytes(frames.DEFAULT_WINDOW - fill - 5))
    client.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: stream_window}))
    client.feed(b"".join(whole(3 + 2 * number) for number in range(streams)))
    client.sent()
    return client


def widened(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE of a stream, 0 for the connection."""
    return frames.window_update(id_of(stream), increment)


def bodies(sent: list[Frame]) -> list[tuple[int, int]]:
    """The streams and sizes of DATA frames."""
    return [(frame.stream, len(frame.payload)) for frame in sent if frame.kind == frames.DATA]


def test_output_is_told_of_once() -> None:
    """Whoever writes is called when there is something, not for each frame of it."""
    client = Client()
    client.feed(whole(1) + whole(3))
    client.sent()
    before = client.outputs
    for call in client.calls:
        call.reply(b"answer")
    assert client.outputs == before + 1
    assert client.core.data_to_send()
    assert client.core.data_to_send() == b""


def test_a_body_is_cut_into_frames() -> None:
    """None is larger than any peer must take (RFC 9113 §4.2)."""
    client = narrow(2**31 - 1)
    client.call.reply(b"x" * 50_000)
    assert [size for _, size in bodies(client.sent())] == [16_384, 16_384, 16_384, 50_005 - 3 * 16_384]


@pytest.mark.parametrize("size", [16_384, 16_385, 32_768, 50_000])
@pytest.mark.parametrize("end", [True, False])
def test_long_headers_continue(size: int, end: bool) -> None:
    """HEADERS with END_STREAM, CONTINUATION, and END_HEADERS on the last of them."""
    client = narrow(0)
    block = bytes(size)
    client.core.send_headers(client.call, block, end=end)
    sent = client.sent()
    assert b"".join(frame.payload for frame in sent) == block
    assert [frame.kind for frame in sent] == [frames.HEADERS] + [frames.CONTINUATION] * (len(sent) - 1)
    assert all(len(frame.payload) <= 16_384 for frame in sent)
    assert [bool(frame.flags & frames.END_HEADERS) for frame in sent] == [False] * (len(sent) - 1) + [True]
    assert [bool(frame.flags & frames.END_STREAM) for frame in sent] == [end] + [False] * (len(sent) - 1)


def test_a_window_of_nought_holds_a_reply_back() -> None:
    """Headers go out, the body byte by byte as the client asks for it, the trailers after all of it."""
    client = narrow(0)
    client.call.reply(b"abc")
    assert [frame.kind for frame in client.sent()] == [frames.HEADERS]
    expected = frame_message(b"abc")
    for number in range(len(expected)):
        sent = client.replies(widened(3, 1))
        assert sent[0].payload == expected[number : number + 1]
        assert len(sent) == 1 + (number == len(expected) - 1)
    assert answer_of(sent, 3).fields == {b"grpc-status": b"0"}
    assert answer_of(sent, 3).ended
    assert client.core.streams == {}


def test_a_window_may_fall_below_nought() -> None:
    """RFC 9113 §6.9.2: after a SETTINGS change; what is then given makes it up first."""
    client = narrow(100)
    client.call.reply(b"x" * 195)
    assert bodies(client.sent()) == [(3, 100)]
    assert bodies(client.replies(frames.settings({frames.INITIAL_WINDOW_SIZE: 30}))) == []
    assert client.open(3).outflow.window == -70
    assert bodies(client.replies(widened(3, 70))) == []
    assert bodies(client.replies(widened(3, 1))) == [(3, 1)]
    sent = client.replies(frames.settings({frames.INITIAL_WINDOW_SIZE: 1000}))
    assert bodies(sent) == [(3, 99)]
    assert answer_of(sent, 3).ended


def test_new_streams_begin_with_the_new_window() -> None:
    """Also where it was changed while they were open and had sent nothing."""
    client = narrow(0)
    client.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 10}))
    client.sent()
    client.call.reply(b"x" * 20)
    assert bodies(client.sent()) == [(3, 10)]


def test_whoever_starves_goes_on_in_order() -> None:
    """The connection's window is empty: when it opens, streams are served in the order in which they had to wait."""
    client = narrow(1000, streams=4, fill=10)
    for call in client.calls:
        call.reply(b"x" * 95)
    assert bodies(client.sent()) == [(3, 10)]
    assert bodies(client.replies(widened(0, 150))) == [(3, 90), (5, 60)]
    assert bodies(client.replies(widened(0, 100))) == [(7, 100)]
    sent = client.replies(widened(0, 1000))
    assert bodies(sent) == [(9, 100), (5, 40)]
    assert client.core.streams == {}


def test_who_has_no_window_of_its_own_holds_nobody_up() -> None:
    """The connection's window goes to those who can use it."""
    client = narrow(50, streams=2, fill=10)
    for call in client.calls:
        call.reply(b"x" * 95)
    client.sent()
    assert bodies(client.replies(widened(0, 1000))) == [(3, 40), (5, 50)]
    assert bodies(client.replies(widened(5, 1000))) == [(5, 50)]
    assert bodies(client.replies(widened(3, 1000))) == [(3, 50)]


def test_a_reset_stream_sends_nothing_more() -> None:
    """What it had to send is dropped, and the connection's window stays for the others."""
    client = narrow(1000, streams=2, fill=10)
    for call in client.calls:
        call.reply(b"x" * 95)
    client.sent()
    client.feed(rst(3))
    assert bodies(client.replies(widened(0, 1000))) == [(5, 100)]
    assert client.core.streams == {}


def test_an_answer_before_the_end_of_the_request() -> None:
    """RST_STREAM NO_ERROR follows it (RFC 9113 §8.1): the client need not send the rest, which is no fault."""
    client = Client()
    client.feed(headers(1, request_fields()))
    call = client.open(1)
    call.reply(b"early")
    sent = client.replies()
    assert answer_of(sent, 1).ended
    assert (sent[-1].kind, sent[-1].code) == (frames.RST_STREAM, ErrorCode.NO_ERROR)
    assert client.answered(data(1, b"the rest", end=True)) == []


def test_reset_ids_are_remembered_for_a_while() -> None:
    """So many, the latest: frames of older ones are a fault."""
    sender = Client().core
    for number in range(RESET_IDS_MAX + 1):
        sender.remember_reset(id_of(number))
    assert not sender.was_reset(id_of(0))
    assert sender.was_reset(id_of(1))
    assert sender.was_reset(id_of(RESET_IDS_MAX))


def test_a_client_that_does_not_read_is_sent_no_more() -> None:
    """What waits stays in its windows, not in our memory; once it reads, streams go on in order."""
    client = narrow(100_000, streams=2)
    client.core.pause()
    for call in client.calls:
        call.reply(bytes(2000))
    assert bodies(client.sent()) == []
    client.core.resume()
    assert bodies(client.sent()) == [(3, 2005), (5, 2005)]
    assert client.core.streams == {}


def test_a_turn_is_sent_so_much() -> None:
    """The rest follows once that is written."""
    client = narrow(2**31 - 1)
    client.feed(widened(0, 2**30))
    client.call.reply(bytes(2 * OUTPUT_BYTES_MAX))
    turns = [sum(size for _, size in bodies(client.sent())) for _ in range(4)]
    assert turns == [OUTPUT_BYTES_MAX, OUTPUT_BYTES_MAX, 5, 0]


def test_a_receiver_hears_when_its_data_is_out() -> None:
    """Not before: it may have more to send."""
    client = Client()
    client.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 5}) + headers(1, request_fields("/test.Service/Streamed")))
    (receiver,) = client.streamed
    client.core.send_data(receiver.call, b"1234567")
    assert receiver.told == []
    assert receiver.call.outflow is not None
    assert receiver.call.outflow.held == 2
    client.feed(widened(1, 2))
    assert receiver.told == ["writable"]
    assert receiver.call.outflow.held == 0


ACTS = st.one_of(
    st.tuples(st.just("reply"), st.integers(0, 3), st.integers(0, 40_000)),
    st.tuples(st.just("widen"), st.integers(0, 3), st.integers(1, 20_000)),
    st.tuples(st.just("all"), st.just(0), st.integers(1, 50_000)),
    st.tuples(st.just("settings"), st.just(0), st.integers(0, 50_000)),
)


@given(st.lists(ACTS, max_size=25))
def test_windows_are_never_overdrawn(acts: list[tuple[str, int, int]]) -> None:
    """A client that keeps its own accounts gets every answer whole, and never a byte that it has not allowed."""
    client = narrow(0, streams=4)
    ledger = Ledger()
    wanted: dict[int, int] = {}
    for act, which, size in [*acts, ("settings", 0, 200_000), ("all", 0, 1_000_000)]:
        stream = 3 + 2 * which
        if act == "reply" and stream not in wanted:
            wanted[stream] = size + 5
            client.calls[which].reply(b"x" * size)
        elif act == "widen" and client.core.streams.get(id_of(stream)):
            ledger.given[stream] = ledger.given.get(stream, 0) + size
            client.feed(widened(stream, size))
        elif act == "all":
            ledger.left += size
            client.feed(widened(0, size))
        elif act == "settings":
            ledger.initial = size
            client.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: size}))
        ledger.read(client.core.data_to_send())
    assert {stream: ledger.sent.get(stream, 0) for stream in wanted} == wanted


class Ledger:
    """What a client has allowed, and what came."""

    def __init__(self) -> None:
        self.left = frames.DEFAULT_WINDOW
        self.initial = 0
        self.given: dict[int, int] = {}
        self.sent: dict[int, int] = {}

    def read(self, written: bytes) -> None:
        """Check what the server sent."""
        for frame in parsed(written):
            if frame.kind == frames.DATA and frame.payload:
                self.left -= len(frame.payload)
                self.sent[frame.stream] = self.sent.get(frame.stream, 0) + len(frame.payload)
                assert self.left >= 0
                assert self.sent[frame.stream] <= self.initial + self.given.get(frame.stream, 0)


@pytest.mark.parametrize("size", [0, 50])
def test_an_answer_that_nobody_takes_is_given_up(size: int) -> None:
    """Complete, and longer held back by the client's windows than may be: RST_STREAM, whatever it took meanwhile."""
    client = narrow(0)
    client.call.reply(bytes(size))
    client.sent()
    client.core.reset_unread(100.0, 60.0)
    client.feed(widened(3, 1))
    client.core.reset_unread(160.0, 60.0)
    assert [frame.kind for frame in client.sent()] == [frames.DATA]
    client.core.reset_unread(160.1, 60.0)
    (frame,) = client.sent()
    assert (frame.kind, frame.stream, frame.code) == (frames.RST_STREAM, 3, ErrorCode.CANCEL)
    assert client.core.streams == {}


def test_a_call_without_its_answer_may_take_its_time() -> None:
    """Only what is over for us is given up; a stream of responses is bounded by its method's waiting."""
    client = narrow(0)
    client.core.send_data(client.call, b"part")
    for now in (100.0, 200.0):
        client.core.reset_unread(now, 60.0)
    assert client.open(3).waiting
