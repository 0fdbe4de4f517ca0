import pytest

from ratelimit.transport.streams import AFTER_END_RECEIVED, AFTER_END_SENT, Body, Outflow, State, Stream
from tests.transport.core import Client, data, headers, id_of, request_fields, rst


@pytest.mark.parametrize("first", ["sent", "received"])
def test_both_ends_close_a_stream(first: str) -> None:
    """RFC 9113 §5.1: in either order."""
    if first == "sent":
        assert AFTER_END_RECEIVED[AFTER_END_SENT[State.OPEN]] is State.CLOSED
    else:
        assert AFTER_END_SENT[AFTER_END_RECEIVED[State.OPEN]] is State.CLOSED


def test_after_its_end_nothing_is_sent_or_received() -> None:
    """The tables have no way out of a state that has none."""
    assert not {State.HALF_CLOSED_REMOTE, State.CLOSED, State.ABANDONED} & set(AFTER_END_RECEIVED)
    assert not {State.HALF_CLOSED_LOCAL, State.CLOSED, State.ABANDONED} & set(AFTER_END_SENT)


def test_what_a_new_stream_holds() -> None:
    """Nothing came and nothing waits; an answer is wanted."""
    client = Client()
    client.feed(headers(1, request_fields()))
    stream: Stream = client.open(1)
    assert (stream.stream_id, stream.state, stream.waiting) == (id_of(1), State.OPEN, True)
    assert (stream.body, stream.outflow) == (None, None)


def test_pieces_have_no_dictionary() -> None:
    """A thousand of them stay small."""
    for piece in (Body(1), Outflow(1)):
        assert not hasattr(piece, "__dict__")
    client = Client()
    client.feed(headers(1, request_fields()))
    assert not hasattr(client.open(1), "__dict__")


@pytest.mark.parametrize(
    ("written", "state"),
    [
        (headers(1, request_fields()), State.OPEN),
        (headers(1, request_fields()) + data(1, b"\0\0\0\0\1"), State.OPEN),
        (headers(1, request_fields()) + data(1, b"\0\0\0\0\1x", end=True), State.HALF_CLOSED_REMOTE),
    ],
)
def test_the_states_of_a_request(written: bytes, state: State) -> None:
    """As its frames come; a reset ends it in each of them."""
    client = Client()
    client.feed(written)
    stream: Stream = client.open(1)
    assert stream.state is state
    client.feed(rst(1))
    assert id_of(1) not in client.core.streams
    assert stream.state in (State.CLOSED, State.ABANDONED)
