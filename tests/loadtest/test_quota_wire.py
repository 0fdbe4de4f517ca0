import pytest

from loadtest.answers import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEAD,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    LoadFailedError,
    frame,
)
from loadtest.quota_wire import FRAME_BYTES_MAX, INITIAL_WINDOW_SIZE, QuotaConnection, actions, rate_of
from loadtest.request_frames import framed
from ratelimit.quota.assignment import Abandon, Assign
from ratelimit.service.rlqs.messages import Blanket, assigned, blanket, bucket_of, response

BUCKET = bucket_of({"name": "x" * 200})


def sent(connection: QuotaConnection) -> int:
    """How many octets of DATA it has to send; they are taken."""
    output, connection.output = connection.output, b""
    at = total = 0
    while at < len(output):
        high, low, kind, _, _ = HEAD.unpack_from(output, at)
        length = high << 8 | low
        assert length <= FRAME_BYTES_MAX
        total += length if kind == DATA else 0
        at += HEAD.size + length
    return total


def opened() -> QuotaConnection:
    """One whose greeting has been sent."""
    connection = QuotaConnection()
    assert connection.output.startswith(b"PRI * HTTP/2.0")
    connection.output = b""
    return connection


def test_messages_come_out_however_they_are_cut() -> None:
    """In one piece, and octet by octet, over frames."""
    body = framed(b"first") + framed(b"") + framed(b"x" * 300)
    wire = frame(HEADERS, 4, 1, b"\x88") + frame(DATA, 0, 1, body[:7]) + frame(DATA, 0, 1, body[7:])
    assert list(opened().feed(wire)) == [b"first", b"", b"x" * 300]
    connection = opened()
    found = [message for octet in wire for message in connection.feed(bytes((octet,)))]
    assert found == [b"first", b"", b"x" * 300]
    assert connection.output == b""


def test_no_more_is_sent_than_the_windows_allow() -> None:
    """Neither that of the connection nor that of the stream, which settings change."""
    connection = opened()
    connection.send(b"x" * 100_000)
    assert sent(connection) == 65535
    list(connection.feed(frame(WINDOW_UPDATE, 0, 0, (50_000).to_bytes(4, "big"))))
    assert sent(connection) == 0
    list(connection.feed(frame(WINDOW_UPDATE, 0, 1, (1_000).to_bytes(4, "big"))))
    assert sent(connection) == 1_000
    settings = b"\0\3" + (7).to_bytes(4, "big") + INITIAL_WINDOW_SIZE.to_bytes(2, "big") + (75_535).to_bytes(4, "big")
    list(connection.feed(frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK, 0)))
    assert connection.output.startswith(frame(SETTINGS, ACK, 0))
    assert sent(connection) == 10_000


def test_pings_are_answered_and_windows_given_back() -> None:
    """So that the server goes on."""
    connection = opened()
    list(connection.feed(frame(PING, 0, 0, b"12345678") + frame(PING, ACK, 0, b"12345678")))
    assert connection.output == frame(PING, ACK, 0, b"12345678")
    connection.output = b""
    piece, size = frame(DATA, 0, 1, framed(bytes(16_000))), 16_005
    while not connection.output:
        list(connection.feed(piece * 1000))
    updates = connection.output
    assert len(updates) == 2 * 13
    assert int.from_bytes(updates[9:13], "big") % size == 0


@pytest.mark.parametrize(
    "wire", [frame(RST_STREAM, 0, 1, bytes(4)), frame(GOAWAY, 0, 0, bytes(8)), frame(HEADERS, 4 | END_STREAM, 1, b"x")]
)
def test_the_end_of_a_stream_is_an_error(wire: bytes) -> None:
    """Whichever way it comes."""
    with pytest.raises(LoadFailedError, match="ended the stream"):
        list(opened().feed(wire))


def test_actions_are_what_the_service_writes() -> None:
    """Each with its bucket id as it stands, and what it lets pass."""
    told = [
        assigned(BUCKET, Assign(5, 600, 12)),
        assigned(BUCKET, Abandon()),
        blanket(BUCKET, Blanket.DENY, 60),
        blanket(BUCKET, Blanket.ALLOW, 60),
    ]
    found = list(actions(response(told)))
    assert [bucket for bucket, _ in found] == [BUCKET] * 4
    assert [rate_of(rest) for _, rest in found] == [10.0, float("inf"), 0.0, float("inf")]


def test_another_message_is_not_taken_for_actions() -> None:
    """It is told what stands there."""
    with pytest.raises(LoadFailedError, match="field 2 at 0"):
        list(actions(b"\x12\x00"))
