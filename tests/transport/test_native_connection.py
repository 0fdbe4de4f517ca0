"""What a connection does by the clock, on a transport that only notes what is done to it."""

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest

from ratelimit.errors import GrpcStatus
from ratelimit.transport import frames
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.native_connection import (
    DRAIN_PING,
    GOAWAY_S_MAX,
    KEEPALIVE_PING,
    LINGER_S,
    auth_context_of,
    peer_of,
    speaks_h2,
)
from tests.transport.core import STREAMED, Frame, answer_of, headers, id_of, parsed, request_fields, whole
from tests.transport.glue import PATIENCE, Peer, Transport

WATCH = headers(1, request_fields(STREAMED))


def ping_answer(data: bytes) -> bytes:
    """The client's answer to our PING."""
    return frames.frame(frames.PING, frames.ACK, bytes(4), data)


def kinds(sent: list[Frame]) -> list[int]:
    """The kinds of some frames."""
    return [frame.kind for frame in sent]


async def test_a_client_that_says_nothing_is_cut_off() -> None:
    """Without preface and SETTINGS, once the time for a handshake is over."""
    peer = Peer(greet=False)
    peer.feed(frames.PREFACE)
    peer.second(0.9)
    assert peer.transport.done == []
    peer.second(1.5)
    assert peer.transport.done == ["abort"]


async def test_a_dead_client_is_reaped() -> None:
    """Silent for too long, it is asked with PING; without an answer it is cut off."""
    peer = Peer()
    assert peer.second(9) == []
    (ping,) = peer.second(10.5)
    assert ping.payload == KEEPALIVE_PING
    assert peer.second(13) == []
    peer.second(14)
    assert peer.transport.done == ["abort"]


async def test_a_client_that_answers_stays() -> None:
    """An answer to PING, or anything else, is a sign of life."""
    peer = Peer()
    assert len(peer.second(10.5)) == 1
    peer.connection._heard = peer.start + 11  # what a read at that time notes
    assert peer.second(14) == []
    assert len(peer.second(22)) == 1
    assert peer.transport.done == []


@pytest.mark.parametrize("half_closed", [True, False])
async def test_a_dead_client_is_reaped_while_its_connection_ends(half_closed: bool) -> None:
    """With a call open that nobody will answer: after the last GOAWAY, and where it has closed its side."""
    peer = Peer()
    peer.feed(whole(1))
    if half_closed:
        assert peer.connection.eof_received()
    else:
        peer.connection.drain()
        peer.feed(ping_answer(DRAIN_PING))
        peer.sent()
    peer.second(10.5)
    peer.second(14)
    assert peer.transport.done == ["abort"]


async def test_a_half_closed_client_gets_its_answer() -> None:
    """GOAWAY and the answer; then we close too."""
    peer = Peer()
    peer.feed(whole(1))
    assert peer.connection.eof_received()
    peer.calls[0].reply(b"answer")
    assert kinds(peer.sent()).count(frames.GOAWAY) == 1
    assert peer.transport.done == ["close"]


@pytest.mark.parametrize("secure", [True, False])
async def test_a_client_that_closes_is_let_go(secure: bool) -> None:
    """Where nothing is open; and over TLS, which closes both ways, in any case."""
    ssl_object = type("Secure", (), {"selected_alpn_protocol": staticmethod(lambda: "h2")})()
    peer = Peer(ssl_object=ssl_object if secure else None)
    if secure:
        peer.feed(whole(1))
    assert not peer.connection.eof_received()


async def test_a_client_that_does_not_read_is_cut_off() -> None:
    """It is not read from meanwhile, and after GRPC_WRITE_TIMEOUT it is given up."""
    peer = Peer()
    peer.connection.pause_writing()
    assert peer.transport.done == ["pause"]
    peer.connection.second(asyncio.get_running_loop().time() + 19)
    assert peer.transport.done == ["pause"]
    peer.connection.second(asyncio.get_running_loop().time() + 21)
    assert peer.transport.done == ["pause", "abort"]
    assert peer.stats.cx_timeouts == 1


async def test_a_client_that_reads_again_goes_on() -> None:
    """Both ways."""
    peer = Peer()
    peer.connection.pause_writing()
    peer.connection.resume_writing()
    peer.second(9)
    assert peer.transport.done == ["pause", "resume"]


async def test_what_waits_for_a_slow_reader_is_bounded() -> None:
    """GRPC_MAX_OUTBOUND_BYTES in the transport, and it is cut off."""
    peer = Peer(replace(PATIENCE, outbound_bytes_max=1000))
    peer.connection.pause_writing()
    peer.transport.buffered = 1001
    peer.sent()
    assert peer.transport.done == ["pause", "abort"]


async def test_an_answer_that_is_not_taken_is_reset_though_pings_are_answered() -> None:
    """A window of nought holds no stream for longer than GRPC_WRITE_TIMEOUT; the connection stays."""
    peer = Peer()
    peer.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}) + whole(1))
    peer.calls[0].reply(b"answer")
    peer.sent()
    resets: list[tuple[int, int]] = []
    for at in range(1, 30):
        peer.connection._heard = peer.start + at
        resets += [(at, frame.code) for frame in peer.second(at) if frame.kind == frames.RST_STREAM]
    ((at, code),) = resets
    assert (code, at in range(20, 26)) == (ErrorCode.CANCEL, True)
    assert peer.transport.done == []


async def test_a_drain_asks_in_two_steps() -> None:
    """GOAWAY for every id and PING; with its answer GOAWAY with the last stream, and an end once that is answered."""
    peer = Peer()
    peer.connection.drain()
    goaway, ping = peer.sent()
    assert (goaway.payload[:4], ping.payload) == (frames.STREAM_ID_MAX, DRAIN_PING)
    peer.feed(whole(1) + ping_answer(DRAIN_PING))
    (last,) = [frame for frame in peer.sent() if frame.kind == frames.GOAWAY]
    assert last.payload[:4] == id_of(1)
    assert peer.transport.done == []
    peer.calls[0].reply(b"answer")
    assert answer_of(peer.sent(), 1).ended
    assert peer.transport.done == ["eof"]
    peer.connection.second(asyncio.get_running_loop().time() + LINGER_S)
    assert peer.transport.done == ["eof", "abort"]


async def test_a_drain_does_not_wait_for_ever_for_its_ping() -> None:
    """After some seconds the second step comes without it."""
    peer = Peer()
    peer.connection.drain()
    peer.sent()
    assert peer.second(GOAWAY_S_MAX - 0.5) == []
    assert kinds(peer.second(GOAWAY_S_MAX + 0.5)) == [frames.GOAWAY]
    assert peer.transport.done == ["eof"]


async def test_streams_without_an_end_are_told_of_a_drain() -> None:
    """Those that are open, and with the second step those that came in between."""
    peer = Peer()
    peer.feed(WATCH)
    peer.connection.drain()
    peer.feed(headers(3, request_fields(STREAMED)) + ping_answer(DRAIN_PING))
    assert [stream.told for stream in peer.streamed] == [["stopping", "stopping"], ["stopping"]]


async def test_an_old_connection_is_drained() -> None:
    """After GRPC_MAX_CONNECTION_AGE; once."""
    peer = Peer(replace(PATIENCE, age_s=1))
    assert peer.second(0.5) == []
    assert kinds(peer.second(1.5)) == [frames.GOAWAY, frames.PING]
    assert peer.second(2.5) == []


async def test_a_call_ends_with_the_grace_of_an_old_connection() -> None:
    """UNAVAILABLE after GRPC_MAX_CONNECTION_AGE_GRACE, and the connection ends."""
    peer = Peer(replace(PATIENCE, age_s=5, age_grace_s=2, keepalive_s=math.inf))
    peer.feed(whole(1))
    peer.second(5.5)
    peer.feed(ping_answer(DRAIN_PING))
    peer.sent()
    assert answer_of(peer.second(9), 1).status == (GrpcStatus.UNAVAILABLE, b"the service stops")
    assert peer.transport.done == ["eof"]


async def test_who_waits_for_a_client_to_read_is_told() -> None:
    """With the answer to the PING behind what was written."""
    peer, told = Peer(), []
    peer.connection._core.acknowledgements.ask(lambda: told.append("read"), peer.start)
    (asked,) = peer.sent()
    peer.feed(ping_answer(asked.payload))
    assert told == ["read"]


async def test_a_client_that_does_not_say_that_it_has_read_is_cut_off() -> None:
    """It must answer a PING (RFC 9113 §6.7), however much else it says."""
    peer = Peer()
    peer.connection._core.acknowledgements.ask(lambda: None, peer.start)
    peer.sent()
    peer.second(2.9)
    assert peer.transport.done == []
    peer.second(3.1)
    assert peer.transport.done == ["abort"]
    assert peer.stats.cx_timeouts == 1


async def test_a_client_that_keeps_its_old_connection_is_cut_off() -> None:
    """Its window is nought, so its last answers never go out: the grace is over all the same."""
    peer = Peer(replace(PATIENCE, age_s=5, age_grace_s=2, keepalive_s=math.inf))
    peer.feed(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}) + whole(1))
    peer.calls[0].reply(b"answer")
    peer.second(5.5)
    peer.feed(ping_answer(DRAIN_PING))
    peer.second(9)
    assert peer.transport.done == []
    peer.second(9 + LINGER_S)
    assert peer.transport.done == ["abort"]


async def test_a_broken_client_is_told_and_left() -> None:
    """GOAWAY with the reason, nothing more is read, and soon the end."""
    peer = Peer()
    peer.feed(frames.frame(frames.DATA, 0, bytes(4), b"x"))
    (goaway,) = parsed(peer.transport.written)
    assert goaway.code == ErrorCode.PROTOCOL_ERROR
    assert peer.transport.done == ["eof", "pause"]
    assert peer.violations == ["PROTOCOL_ERROR: DATA on an idle stream"]


async def test_a_client_that_closed_first_is_cut_off() -> None:
    """An end that can no longer be said is no error of ours."""
    peer = Peer()
    peer.transport.eof_fails = True
    peer.connection.drain()
    peer.feed(ping_answer(DRAIN_PING))
    peer.sent()
    assert peer.transport.done == ["eof", "abort"]


async def test_calls_end_at_their_deadline() -> None:
    """Each at its own, by one timer."""
    peer = Peer()
    peer.feed(whole(1, "/s/M", b"", (b"grpc-timeout", b"60S")))
    peer.feed(whole(3, "/s/M", b"", (b"grpc-timeout", b"1m")))
    async with asyncio.timeout(30):
        while peer.calls[1].waiting:  # noqa: ASYNC110 - the timer is the connection's own
            await asyncio.sleep(0.001)
    assert answer_of(peer.sent(), 3).status[0] == GrpcStatus.DEADLINE_EXCEEDED
    assert peer.calls[0].waiting
    assert peer.stats.calls_expired == 1
    peer.connection.connection_lost(None)
    assert not peer.calls[0].waiting
    assert peer.closed_times == 1


async def test_there_may_be_no_room() -> None:
    """Cut off before anything is said."""
    peer = Peer(greet=False, room=False)
    assert (peer.transport.done, peer.transport.written) == (["abort"], b"")


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        (("192.0.2.1", 80), "ipv4:192.0.2.1:80"),
        (("2001:db8::1", 80, 0, 0), "ipv6:[2001:db8::1]:80"),
        ("", "unix:"),
        (None, "unix:"),
    ],
)
def test_peers_are_named_as_grpc_names_them(address: Any, peer: str) -> None:
    """By the kind of their address."""
    assert peer_of(Transport(peername=address)) == peer


def test_what_tls_knows_of_a_client() -> None:
    """By grpcio's names; without TLS it says so."""
    certificate = {"subjectAltName": (("DNS", "a"), ("URI", "spiffe://b"))}
    assert auth_context_of(Transport()) == {"transport_security_type": [b"insecure"]}
    assert auth_context_of(Transport(sslcontext=object(), peercert=certificate)) == {
        "transport_security_type": [b"ssl"],
        "x509_subject_alternative_name": [b"a", b"spiffe://b"],
    }


@pytest.mark.parametrize(("chosen", "speaks"), [("h2", True), ("http/1.1", False), (None, False)])
def test_tls_clients_choose_http2(chosen: str | None, speaks: bool) -> None:
    """With ALPN; without TLS it is known beforehand."""
    secure = type("Secure", (), {"selected_alpn_protocol": staticmethod(lambda: chosen)})()
    assert speaks_h2(Transport(ssl_object=secure)) is speaks
    assert speaks_h2(Transport())
