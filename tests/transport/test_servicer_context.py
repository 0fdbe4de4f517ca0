import asyncio
import math
from typing import Any

import grpc
import grpc.aio
import pytest

from ratelimit.transport.calls import Call
from ratelimit.transport.servicer_context import FINISHED, Codec, Context, checked_metadata
from ratelimit.transport.servicer_streams import Requests, Responses
from tests.transport.sans_io import Peer


class Idle:
    """A receiver that leaves the call to the test."""

    full = False

    def __init__(self, call: Call) -> None:
        self.requests, self.responses = Requests(call), Responses(call)
        self.context = Context(call, self.requests, self.responses, Codec(int, lambda number: b"%d" % number))

    def gone(self) -> bool:
        return False


def opened(*fields: tuple[str, str]) -> tuple[Peer, Context]:
    """A client and the context of its call."""
    peer = Peer(Idle)
    receiver = peer.request(*fields).body.receiver  # type: ignore[union-attr] # a call that came in parts has one
    peer.received()
    return peer, receiver.context


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("X-Upper", "a", "only 0-9, a-z"),
        ("", "a", "only 0-9, a-z"),
        (":path", "a", "only 0-9, a-z"),
        (b"x", "a", "only 0-9, a-z"),
        ("grpc-status", "0", "reserved"),
        ("content-type", "a", "reserved"),
        ("x", "a\nb", "printable"),
        ("x", "é", "printable"),
        ("x", " a", "printable"),
    ],
)
def test_metadata_that_no_peer_would_take_is_refused(key: Any, value: str, problem: str) -> None:
    """With the key, in the method that sets it."""
    with pytest.raises(ValueError, match=problem) as caught:
        checked_metadata([(key, value)])
    assert repr(key) in str(caught.value)


def test_metadata_of_every_sound_kind_is_taken() -> None:
    """Pairs, grpc.aio's own class, nothing; bytes of any value where the key says so."""
    pairs = (("x.a_b-1", "a b"), ("x", ""), ("x-bin", b"\0\xff"))
    assert checked_metadata(list(pairs)) == checked_metadata(grpc.aio.Metadata(*pairs)) == pairs
    assert checked_metadata(None) == ()


def test_a_value_of_another_type_is_refused() -> None:
    """Numbers are not turned into text in silence."""
    with pytest.raises(TypeError, match="'x'"):
        checked_metadata([("x", 1)])


async def test_the_status_is_what_was_set() -> None:
    """Code, details and trailing metadata, by name or by number."""
    peer, context = opened()
    assert (context.code(), context.details(), context.trailing_metadata()) == (None, "", ())
    context.set_code(6)
    context.set_details("there")
    context.set_trailing_metadata([("x-last", "1")])
    assert (context.code(), context.details()) == (grpc.StatusCode.ALREADY_EXISTS, "there")
    context.end()
    fields, _ = peer.answer()
    assert (fields["grpc-status"], fields["grpc-message"], fields["x-last"]) == ("6", "there", "1")


async def test_what_is_no_status_is_refused() -> None:
    """A code that is none, details that are no text."""
    _, context = opened()
    with pytest.raises(ValueError, match="99"):
        context.set_code(99)
    details: Any = b"bytes"
    with pytest.raises(TypeError, match="bytes"):
        context.set_details(details)


async def test_initial_metadata_goes_out_once_and_before_messages() -> None:
    """As grpcio has it."""
    peer, context = opened()
    context.set_compression(grpc.Compression.Gzip)
    await context.send_initial_metadata([("x-first", "1")])
    with pytest.raises(grpc.aio.UsageError, match="already sent"):
        await context.send_initial_metadata([])
    with pytest.raises(RuntimeError, match="before sending initial metadata"):
        context.set_compression(grpc.Compression.Gzip)
    assert peer.answer()[0]["x-first"] == "1"


async def test_an_abort_ends_the_call_and_whatever_the_method_does_next() -> None:
    """`AbortError` again from every later use, `UsageError` from another abort."""
    peer, context = opened()
    status: Any = type("Status", (), {"code": grpc.StatusCode.NOT_FOUND, "details": "no", "trailing_metadata": ()})
    with pytest.raises(grpc.aio.AbortError) as caught:
        await context.abort_with_status(status)
    for use in (context.read(), context.write(1), context.send_initial_metadata(())):
        with pytest.raises(grpc.aio.AbortError) as again:
            await use
        assert again.value is caught.value
    with pytest.raises(grpc.aio.UsageError):
        await context.abort(grpc.StatusCode.NOT_FOUND)
    fields, body = peer.answer()
    assert (fields["grpc-status"], fields["grpc-message"], body) == ("5", "no", b"")
    assert context.done()


async def test_an_abort_with_ok_is_a_fault() -> None:
    """The call goes on to its end."""
    _, context = opened()
    with pytest.raises(ValueError, match="OK"):
        await context.abort(grpc.StatusCode.OK)
    assert not context.done()


async def test_a_client_that_is_gone_is_told_by_every_use() -> None:
    """`UsageError`, with grpcio's words."""
    peer, context = opened()
    peer.reset()
    for use in (context.read(), context.write(1), context.abort(grpc.StatusCode.NOT_FOUND)):
        with pytest.raises(grpc.aio.UsageError, match=FINISHED):
            await use
    assert context.done()


async def test_a_request_that_cannot_be_read_ends_the_call() -> None:
    """INTERNAL, which is gRPC's word for bytes that are no message."""
    peer, context = opened()
    context._requests.put(b"no number")
    with pytest.raises(grpc.aio.AbortError):
        await context.read()
    fields, _ = peer.answer()
    assert fields["grpc-status"] == "13"
    assert fields["grpc-message"].startswith("the request cannot be read: invalid literal")


async def test_a_response_that_is_no_bytes_is_a_fault_of_the_method() -> None:
    """It says what came instead."""
    with pytest.raises(TypeError, match="not int"):
        Codec(None, None).encode(1)


async def test_time_remaining_is_never_negative() -> None:
    """Until the deadline; None without one."""
    peer, context = opened()
    call, now = peer.calls[-1], asyncio.get_running_loop().time()
    assert (call.deadline, context.time_remaining()) == (math.inf, None)
    call.deadline = now + 100
    assert 0 < context.time_remaining() <= 100
    call.deadline = now - 100
    assert context.time_remaining() == 0


async def test_who_the_client_is_comes_from_its_connection() -> None:
    """The alternative names before the common name, as grpcio; nobody without TLS."""
    peer, context = opened()
    connection = peer.connection
    connection.peer = "ipv4:192.0.2.1:5"
    assert (context.peer(), context.peer_identity_key(), context.peer_identities()) == ("ipv4:192.0.2.1:5", None, None)
    connection.auth_context = {"x509_common_name": [b"name"]}
    assert (context.peer_identity_key(), context.peer_identities()) == ("x509_common_name", [b"name"])
    connection.auth_context = {**connection.auth_context, "x509_subject_alternative_name": [b"other"]}
    assert context.peer_identities() == [b"other"]


async def test_cancelled_is_what_the_method_set_or_the_client_did() -> None:
    """Its own CANCELLED counts, as in grpcio; so does an end before the method's."""
    _, context = opened()
    assert not context.cancelled()
    context.set_code(grpc.StatusCode.CANCELLED)
    assert context.cancelled()
    _, context = opened()
    context.break_off()
    assert context.cancelled()
