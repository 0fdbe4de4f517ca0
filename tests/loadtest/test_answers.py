import pytest
from hpack import Encoder

from loadtest.answers import (
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW,
    WINDOW_UPDATE,
    Answers,
    LoadFailedError,
    frame,
)

HEAD = b"\x88\x0f\x10\x10application/grpc"
GOOD = b"\x00\x0bgrpc-status\x010"
OK = b"\0\0\0\0\2\x08\x01"


def answer(stream: int, message: bytes = OK, trailers: bytes = GOOD) -> bytes:
    """The frames of one answer."""
    return frame(HEADERS, 4, stream, HEAD) + frame(DATA, 0, stream, message) + frame(HEADERS, 5, stream, trailers)


def test_answers_are_counted_however_they_are_cut() -> None:
    """Whole, and byte by byte."""
    wire = answer(1) + frame(SETTINGS, 1, 0) + answer(5) + answer(3)
    assert Answers(1).feed(wire) == [1, 5, 3]
    answers = Answers(1)
    assert [stream for octet in wire for stream in answers.feed(bytes((octet,)))] == [1, 5, 3]
    assert answers.ready


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        (answer(1, trailers=b"\x00\x0bgrpc-status\x0214"), "an answer that failed: grpc-status: 14"),
        (frame(HEADERS, 5, 1, HEAD + GOOD), "without a message"),
        (frame(HEADERS, 4, 1, b"\x8d"), "an answer that failed: :status: 404"),
        (answer(1, message=b"\0\0\0\0\2\x08\x02"), "another code: 00000000020802"),
        (frame(HEADERS, 0xC, 1, HEAD), "padded or in pieces"),
        (frame(HEADERS, 0, 1, HEAD), "padded or in pieces"),
        (frame(HEADERS, 4, 1, b"\x7f"), "cannot be read"),
        (frame(RST_STREAM, 0, 1, b"\0\0\0\7"), "RST_STREAM with code 7"),
        (frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\x0bcalm"), "GOAWAY with code 11"),
    ],
)
def test_whatever_is_not_a_good_answer_fails_the_load(wire: bytes, message: str) -> None:
    """A figure of calls that failed would be worth nothing."""
    with pytest.raises(LoadFailedError, match=message):
        Answers(1).feed(wire)


def test_a_dynamic_table_is_refused() -> None:
    """We announce that we have none, and blocks are known by their bytes."""
    block = Encoder().encode([(":status", "200"), ("grpc-status", "0")])
    with pytest.raises(LoadFailedError, match="dynamic table"):
        Answers(1).feed(frame(HEADERS, 4, 1, block))


def test_any_code_is_taken_where_none_is_wanted() -> None:
    """For the first requests of a load that will be over its limit."""
    assert Answers(None).feed(answer(1, message=b"\0\0\0\0\2\x08\x02")) == [1]


def test_control_frames_are_answered_and_remembered() -> None:
    """SETTINGS and PING get their ACK, streams and windows are those of the server."""
    answers = Answers(1)
    settings = b"\0\3\0\0\0\x64" + b"\0\4\0\1\0\0"
    assert not answers.feed(
        frame(SETTINGS, 0, 0, settings) + frame(PING, 0, 0, b"12345678") + frame(WINDOW_UPDATE, 0, 0, b"\0\0\1\0")
    )
    assert answers.output == frame(SETTINGS, 1, 0) + frame(PING, 1, 0, b"12345678")
    assert (answers.streams_max, answers.window, answers.ready) == (100, 65535 + 256, False)


def test_the_server_s_window_is_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before half of it is used."""
    monkeypatch.setattr("loadtest.answers.WINDOW", 12)
    answers = Answers(1)
    answers.feed(answer(1) + answer(3))
    assert WINDOW == 2**30
    assert answers.output == frame(WINDOW_UPDATE, 0, 0, (14).to_bytes(4, "big"))
