import gzip
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.transport import frames
from ratelimit.transport.calls import QUICK_BYTES_MAX
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.grpc import RESPONSE_HEADERS, frame_message
from ratelimit.transport.housekeeping import Caps
from ratelimit.transport.streams import State
from tests.transport.core import (
    DIRECT,
    MESSAGE,
    STREAMED,
    UNKNOWN,
    Client,
    answer_of,
    data,
    headers,
    id_of,
    request_fields,
    rst,
    whole,
)

BROKEN = RpcError(GrpcStatus.UNAVAILABLE, "broken")
HEAD = headers(1, request_fields())
GZIP = (b"grpc-encoding", b"gzip")


def in_pieces(stream: int, path: str = DIRECT) -> bytes:
    """A whole unary request as no fast lane takes it."""
    body = frame_message(MESSAGE)
    return headers(stream, request_fields(path)) + data(stream, body[:7]) + data(stream, body[7:], end=True)


@pytest.mark.parametrize("ask", [whole, in_pieces], ids=["whole", "in pieces"])
@pytest.mark.parametrize("size", [0, 10, QUICK_BYTES_MAX, QUICK_BYTES_MAX + 1, 40_000])
def test_a_reply(ask: Callable[[int], bytes], size: int) -> None:
    """Headers, one message, trailers: the same bytes to a client whichever way the call came."""
    client = Client()
    client.feed(ask(1))
    assert client.messages == [MESSAGE]
    client.call.reply(b"x" * size)
    answer = answer_of(client.replies(), 1)
    assert answer.fields == {b":status": b"200", b"content-type": b"application/grpc", b"grpc-status": b"0"}
    assert answer.body == frame_message(b"x" * size)
    assert answer.ended
    assert client.core.streams == {}
    assert client.core.window == frames.DEFAULT_WINDOW - size - 5


@pytest.mark.parametrize("ask", [whole, in_pieces], ids=["whole", "in pieces"])
def test_an_error(ask: Callable[[int], bytes]) -> None:
    """One header block that ends the stream: Trailers-Only."""
    client = Client()
    client.feed(ask(1))
    client.call.fail(BROKEN)
    (frame,) = client.replies()
    assert frame.flags == frames.END_STREAM | frames.END_HEADERS
    assert answer_of([frame], 1).status == (GrpcStatus.UNAVAILABLE, b"broken")
    assert client.core.streams == {}


@pytest.mark.parametrize("ask", [whole, in_pieces], ids=["whole", "in pieces"])
@pytest.mark.parametrize("order", list(itertools.product("rf", repeat=3)), ids="".join)
def test_a_call_ends_once(ask: Callable[[int], bytes], order: tuple[str, ...]) -> None:
    """The first of `reply` and `fail` counts; the others do nothing."""
    client = Client()
    client.feed(ask(1))
    for each in order:
        client.call.reply(b"answer") if each == "r" else client.call.fail(BROKEN)
        assert not client.call.waiting
    assert sum(frame.flags & frames.END_STREAM for frame in client.replies() if frame.stream == 1) == 1
    assert client.core.orphans == 0


def expired(client: Client) -> None:
    """The deadline of the one call passes."""
    client.call.expire()


def reset(client: Client) -> None:
    """The client gives its call up."""
    client.feed(rst(1))


def lost(client: Client) -> None:
    """The client goes away."""
    client.lose()


@pytest.mark.parametrize("ask", [whole, in_pieces], ids=["whole", "in pieces"])
@pytest.mark.parametrize("end", [expired, reset, lost])
def test_a_call_that_nobody_waits_for_keeps_its_place(
    ask: Callable[[int], bytes], end: Callable[[Client], None]
) -> None:
    """Until its method answers, late and unheard: once."""
    client = Client()
    client.feed(ask(1))
    end(client)
    assert (client.call.waiting, client.call.state) == (False, State.ABANDONED)
    assert (client.core.orphans, client.core.streams) == (1, {})
    client.replies()
    for _ in range(3):
        client.call.reply(b"late")
        client.call.fail(BROKEN)
        assert (client.core.orphans, client.call.state) == (0, State.CLOSED)
    assert client.replies() == []


@pytest.mark.parametrize("ask", [whole, in_pieces], ids=["whole", "in pieces"])
def test_a_call_that_was_answered_leaves_nothing_behind(ask: Callable[[int], bytes]) -> None:
    """A reset, a deadline and the end of the connection come too late then."""
    client = Client()
    client.feed(ask(1))
    client.call.reply(b"answer")
    client.feed(rst(1))
    client.call.expire()
    client.lose()
    assert client.core.orphans == 0
    assert answer_of(client.replies(), 1).ended


def test_orphans_take_the_room_of_streams() -> None:
    """Whoever resets what is being worked on cannot ask for more than others."""
    client = Client(Caps(streams_max=3))
    client.feed(whole(1) + whole(3) + whole(5))
    client.feed(rst(1) + rst(3) + rst(5))
    assert client.replies(whole(7))[0].code is not None
    assert [call.stream_id for call in client.calls] == [id_of(each) for each in (1, 3, 5)]
    client.calls[0].reply(b"late")
    client.feed(whole(9))
    assert client.calls[-1].stream_id == id_of(9)


def test_a_deadline_passes() -> None:
    """DEADLINE_EXCEEDED, at once; the deadline is what grpc-timeout says from the moment the head came."""
    client = Client()
    client.feed(whole(1, DIRECT, MESSAGE, (b"grpc-timeout", b"250m")))
    assert client.call.deadline == client.now + 0.25
    assert client.core.earliest_deadline == client.now + 0.25
    client.call.expire()
    assert answer_of(client.replies(), 1).status[0] is GrpcStatus.DEADLINE_EXCEEDED


@pytest.mark.parametrize("begun", [b"", data(1, b"\0\0"), data(1, frame_message(MESSAGE))])
def test_a_deadline_passes_before_the_request_is_whole(begun: bytes) -> None:
    """Its answer, then RST_STREAM NO_ERROR (RFC 9113 §8.1); nobody was asked, so nothing keeps its place."""
    client = Client()
    client.feed(HEAD + begun)
    client.open(1).expire()
    answer, end = client.replies()
    assert answer_of([answer], 1).status[0] is GrpcStatus.DEADLINE_EXCEEDED
    assert (end.kind, end.code) == (frames.RST_STREAM, ErrorCode.NO_ERROR)
    assert (client.core.orphans, client.core.streams, client.core.buffered) == (0, {}, 0)
    assert client.replies(data(1, b"the rest", end=True)) == []
    assert client.calls == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", GrpcStatus.INTERNAL),
        (frame_message(b"a") + frame_message(b"b"), GrpcStatus.INTERNAL),
        (frame_message(b"a") * 3 + b"\0", GrpcStatus.INTERNAL),
        (frame_message(b"a") + b"\0\0", GrpcStatus.INTERNAL),
        (b"\0\0\0", GrpcStatus.INTERNAL),
        (b"\2\0\0\0\0", GrpcStatus.INTERNAL),
        (b"\1\0\0\0\0", GrpcStatus.INTERNAL),
        (b"\0\xff\0\0\0", GrpcStatus.RESOURCE_EXHAUSTED),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_a_body_that_is_not_one_message(body: bytes, status: GrpcStatus, at_once: bool) -> None:
    """The call fails, the direct method is never asked, and nothing is left behind."""
    client = Client()
    frames_of_it = [data(1, body, end=True)] if at_once else [*(data(1, body[i : i + 1]) for i in range(len(body)))]
    client.feed(HEAD + b"".join(frames_of_it) + (b"" if at_once else data(1, b"", end=True)))
    assert answer_of(client.replies(), 1).status[0] is status
    assert client.calls == []
    assert (client.core.buffered, client.core.streams, client.core.orphans) == (0, {}, 0)


def test_a_compressed_message() -> None:
    """The method is given it inflated."""
    client = Client()
    packed = gzip.compress(MESSAGE)
    client.feed(headers(1, request_fields(DIRECT, GZIP)))
    client.feed(data(1, b"\1" + frame_message(packed)[1:], end=True))
    assert client.messages == [MESSAGE]


def test_an_unknown_method() -> None:
    """UNIMPLEMENTED, naming it, before the body has come."""
    client = Client()
    answer, end = client.replies(headers(1, request_fields(UNKNOWN)))
    assert answer_of([answer], 1).status[0] is GrpcStatus.UNIMPLEMENTED
    assert UNKNOWN.encode() in answer_of([answer], 1).status[1]
    assert (end.kind, end.code) == (frames.RST_STREAM, ErrorCode.NO_ERROR)


def test_a_refused_request_is_answered_when_it_has_ended() -> None:
    """In plain HTTP, body and all; what it brings is not looked at and not kept."""
    client = Client()
    fields = [(b":method", b"PUT"), *request_fields()[1:]]
    assert client.replies(headers(1, fields) + data(1, b"\xff" * 100)) == []
    assert client.core.buffered == 0
    answer = answer_of(client.replies(data(1, b"", end=True)), 1)
    assert (answer.fields[b":status"], answer.ended) == (b"405", True)
    assert len(answer.body) == int(answer.fields[b"content-length"])
    assert client.core.streams == {}


@pytest.mark.parametrize("end", [reset, lost])
def test_a_refused_request_that_never_ends(end: Callable[[Client], None]) -> None:
    """Nothing was asked, so nothing keeps its place."""
    client = Client()
    client.feed(headers(1, request_fields(DIRECT, (b"grpc-timeout", b"soon"))))
    end(client)
    assert (client.core.streams, client.core.orphans) == ({}, 0)


def test_a_refusal_of_grpc() -> None:
    """A malformed grpc-timeout: HTTP 400, Trailers-Only."""
    client = Client()
    (answer,) = client.replies(whole(1, DIRECT, MESSAGE, (b"grpc-timeout", b"soon")))
    assert answer_of([answer], 1).fields[b":status"] == b"400"
    assert answer_of([answer], 1).status[0] is GrpcStatus.INTERNAL
    assert client.calls == []


def test_a_streamed_request() -> None:
    """Its receiver is told of each message and of the end, in order."""
    client = Client()
    client.feed(headers(1, request_fields(STREAMED)) + data(1, frame_message(b"a") + frame_message(b"b")[:3]))
    client.feed(data(1, frame_message(b"b")[3:]) + data(1, frame_message(b"c"), end=True))
    assert client.streamed[0].told == [b"a", b"b", b"c", "end"]


def test_a_receiver_that_is_still_working_keeps_its_place() -> None:
    """`gone` says so; `work_ended` gives the place back, once."""
    client = Client()
    client.feed(headers(1, request_fields(STREAMED)))
    (receiver,) = client.streamed
    receiver.working = True
    client.feed(rst(1))
    assert receiver.told == ["gone"]
    assert client.core.orphans == 1
    for _ in range(2):
        client.core.work_ended(receiver.call)
        assert client.core.orphans == 0


def test_a_full_receiver_holds_its_client_back() -> None:
    """The stream's window is not given back before it wants more; the connection's is."""
    client = Client(Caps(stream_window=70_000, connection_window=100_000))
    client.feed(headers(1, request_fields(STREAMED)))
    (receiver,) = client.streamed
    receiver.full = True
    sent = client.answered(b"".join(data(1, frame_message(bytes(15_000))) for _ in range(4)))
    assert [frame.stream for frame in sent] == [0]
    receiver.full = False
    client.core.give_back(receiver.call, 0)
    (update,) = client.replies()
    assert (update.kind, update.stream, update.code) == (frames.WINDOW_UPDATE, 1, 4 * 15_005)


def violated(client: Client) -> None:
    """The client breaks the rules, and is gone."""
    client.feed(frames.window_update(id_of(0), 0))
    assert client.core.failed
    client.lose()


ENDS: dict[str, Callable[[Client], object]] = {
    "message complete": lambda client: client.feed(data(3, b"x" * 900, end=True)),
    "broken": lambda client: client.feed(data(3, b"x" * 900 + b"\2\0\0\0\0" + b"y" * 500)),
    "cut": lambda client: client.feed(data(3, b"x", end=True)),
    "trailers": lambda client: client.feed(headers(3, [(b"x", b"1")], end=True)),
    "stream violation": lambda client: client.feed(frames.window_update(id_of(3), 0)),
    "connection violation": violated,
    "reset": lambda client: client.feed(rst(3)),
    "lost": lost,
    "expired": lambda client: client.open(3).expire(),
    "failed": lambda client: client.open(3).fail(BROKEN),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
@pytest.mark.parametrize("path", [DIRECT, STREAMED])
def test_what_lies_in_unfinished_requests_is_counted_exactly(path: str, end: Callable[[Client], object]) -> None:
    """However a request ends, its bytes are given back, no more and no less."""
    client = Client()
    client.feed(headers(1, request_fields()) + data(1, b"\0\0\0\0\x09123"))
    client.feed(headers(3, request_fields(path)) + data(3, frame_message(b"x" * 1000)[:105]))
    assert client.core.buffered == 113
    end(client)
    assert client.core.buffered == (8 if id_of(1) in client.core.streams else 0)


def test_a_message_that_waits_for_the_end_of_its_request_is_counted() -> None:
    """Also when it was inflated from a few bytes: many open requests would hold as many times the limit."""
    client = Client(Caps(message_bytes_max=1_000_000, buffered_bytes_max=2_500_000))
    packed = gzip.compress(bytes(1_000_000))
    for stream in (1, 3, 5):
        client.feed(headers(stream, request_fields(DIRECT, GZIP)) + data(stream, b"\1" + frame_message(packed)[1:]))
    assert answer_of(client.replies(), 5).status[0] is GrpcStatus.RESOURCE_EXHAUSTED
    assert client.core.buffered == 2_000_000
    client.feed(data(1, b"", end=True) + rst(3))
    assert client.core.buffered == 0
    assert client.messages == [bytes(1_000_000)]


def test_too_much_in_unfinished_messages() -> None:
    """RESOURCE_EXHAUSTED for the one that goes beyond; the others go on."""
    client = Client(Caps(buffered_bytes_max=1000))
    body = frame_message(bytes(700))
    client.feed(HEAD + data(1, body[:600]) + headers(3, request_fields()) + data(3, body[:600]))
    assert answer_of(client.replies(), 3).status[0] is GrpcStatus.RESOURCE_EXHAUSTED
    assert client.core.buffered == 600
    client.feed(data(1, body[600:], end=True))
    assert client.messages == [bytes(700)]


@pytest.mark.parametrize("size", [1_000_000, 1_100_000], ids=["allowed", "too large"])
@pytest.mark.parametrize("path", [DIRECT, STREAMED])
def test_inflating_counts_as_what_it_costs(path: str, size: int) -> None:
    """A client that sends a kilobyte and has a megabyte made of it is told to calm down."""
    client = Client(Caps(message_bytes_max=1_000_000, glitches_max=500))
    bomb = data(1, b"\1" + frame_message(gzip.compress(bytes(size)))[1:], end=True)
    for stream in range(1, 17, 2):
        client.feed(headers(stream, request_fields(path, GZIP)) + bomb[:5] + id_of(stream) + bomb[9:])
        assert not client.core.failed
    client.feed(headers(17, request_fields(path, GZIP)) + bomb[:5] + id_of(17) + bomb[9:])
    assert client.core.failed.startswith("ENHANCE_YOUR_CALM")


ACTS = st.sampled_from(["begin", "piece", "message", "end", "broken", "reset", "expire", "fail", "reply", "trailers"])


@given(st.lists(st.tuples(ACTS, st.integers(0, 3)), max_size=40))
def test_accounts_are_even_once_everything_is_over(acts: list[tuple[str, int]]) -> None:
    """Whatever calls do in whatever order: no bytes, no streams and no orphans are left, and none are owed."""
    client = Client()
    for act, which in acts:
        _act(client, act, which)
        assert client.core.buffered >= 0
        assert client.core.orphans >= 0
    client.lose()
    for call in client.calls:
        call.reply(b"late")
    assert (client.core.buffered, client.core.orphans, client.core.streams) == (0, 0, {})
    assert not client.core.failed


def _act(client: Client, act: str, which: int) -> None:
    last = int.from_bytes(client.core.last_stream_id, "big")
    open_ones = list(client.core.streams.values())
    if act == "begin":
        client.feed(headers(last + 1 + (last & 1), request_fields(DIRECT if which else STREAMED)))
    elif act == "reply":
        for call in client.calls[which:]:
            call.reply(b"answer")
    elif open_ones:
        _act_on(client, open_ones[which % len(open_ones)], act)


def _act_on(client: Client, call: Any, act: str) -> None:
    stream = int.from_bytes(call.stream_id, "big")
    ended = call.state is State.HALF_CLOSED_REMOTE
    pieces = {"piece": b"\0\0\0", "message": frame_message(b"m"), "broken": b"\0\0\0\0\0\7", "end": b""}
    if act in pieces and not ended:
        client.feed(data(stream, pieces[act], end=act == "end"))
    elif act == "trailers" and not ended:
        client.feed(headers(stream, [(b"x", b"1")], end=True))
    elif act == "reset":
        client.feed(rst(stream))
    elif act == "expire":
        call.expire()
    elif act == "fail":
        call.fail(BROKEN)


@pytest.mark.parametrize("end", [lambda call: call.fail(BROKEN), lambda call: call.reply(b"")], ids=["fail", "reply"])
def test_headers_go_out_once(end: Callable[[Any], None]) -> None:
    """An end after the headers has no second `:status`: trailers alone."""
    client = Client()
    client.feed(whole(1))
    client.core.send_headers(client.call, RESPONSE_HEADERS)
    end(client.call)
    assert b"".join(frame.payload for frame in client.replies()).count(RESPONSE_HEADERS) == 1
