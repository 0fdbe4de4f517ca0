import contextlib
import gzip
import math
import tracemalloc
import zlib
from urllib.parse import unquote_to_bytes

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.transport import grpc
from ratelimit.transport.grpc import MessageReader, frame_message
from tests.transport.core import request_fields

LIMIT = 1000


def fields_of(block: bytes) -> dict[bytes, bytes]:
    """A block as a client reads it."""
    return {bytes(name): bytes(value) for name, value in Decoder().decode(block, raw=True)}


def head_of(*more: tuple[bytes, bytes]) -> grpc.CallHead:
    """The head of a request with these fields."""
    return grpc.read_head(dict(request_fields("/s/M", *more)))


@given(st.binary(max_size=20_000), st.binary(max_size=300))
def test_fields_are_read_back_by_hpack(value: bytes, name: bytes) -> None:
    """A literal without indexing, whatever the lengths of its texts."""
    assert fields_of(grpc.field(name, value)) == {name: value}


@pytest.mark.parametrize("size", [0, 126, 127, 128, 254, 255, 16_510, 16_511])
def test_lengths_around_each_octet(size: int) -> None:
    """RFC 7541 §5.1 at its edges."""
    assert fields_of(grpc.field(b"n", b"v" * size)) == {b"n": b"v" * size}


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"3S", 3.0),
        (b"250m", 0.25),
        (b"20000u", 0.02),
        (b"1000000n", 0.001),
        (b"0m", 0.0),
        (b"99999999H", 359_999_996_400.0),
        (b"00000001S", 1.0),
    ],
)
def test_timeouts(timeout: bytes, seconds: float) -> None:
    """At most eight digits and a unit."""
    head = head_of((b"grpc-timeout", timeout))
    assert head.timeout_s == pytest.approx(seconds)
    assert head.refusal is None


@pytest.mark.parametrize(
    "timeout", [b"", b"1", b"S", b"-1S", b"+1S", b"1.5S", b"1s", b"1 S", b"123456789S", b"1SS", "١S".encode(), b"1_0S"]
)
def test_a_malformed_timeout_refuses_the_call(timeout: bytes) -> None:
    """HTTP 400 with INTERNAL; the reason names the value."""
    refusal = head_of((b"grpc-timeout", timeout)).refusal
    assert refusal is not None
    found = fields_of(refusal.block)
    assert (found[b":status"], found[b"grpc-status"]) == (b"400", b"13")
    assert b"grpc-timeout" in found[b"grpc-message"]
    assert not refusal.plain


def test_without_a_timeout_a_call_may_take_for_ever() -> None:
    """Infinity, and the defaults of the other fields."""
    assert head_of() == grpc.CallHead("/s/M", math.inf, b"identity")


@pytest.mark.parametrize(
    "content_type", [b"application/grpc", b"application/grpc+proto", b"Application/GRPC;charset=x"]
)
def test_content_types_of_grpc(content_type: bytes) -> None:
    """With a codec and parameters, in any case."""
    assert head_of((b"content-type", content_type)).refusal is None


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ((b"content-type", b"application/json"), b"415"),
        ((b"content-type", b"application/grpc-web"), b"415"),
        ((b"content-type", b""), b"415"),
        ((b":method", b"GET"), b"405"),
        ((b":method", b"post"), b"405"),
    ],
)
def test_what_is_no_grpc_is_answered_in_plain_http(more: tuple[bytes, bytes], status: bytes) -> None:
    """A status that says why, and a body for whoever reads it."""
    refusal = head_of(more).refusal
    assert refusal is not None
    assert refusal.plain
    found = fields_of(refusal.block)
    assert found[b":status"] == status
    assert found[b"content-length"] == b"%d" % len(refusal.body)
    assert found[b"content-type"] == b"text/plain"


@pytest.mark.parametrize(("method", "has_body"), [(b"HEAD", False), (b"GET", True)])
def test_the_answer_to_head_has_no_body(method: bytes, has_body: bool) -> None:
    """RFC 9110 §9.3.2: the fields are those of GET."""
    refusal = head_of((b":method", method)).refusal
    assert refusal is not None
    assert refusal.has_body is has_body
    assert fields_of(refusal.block)[b"content-length"] == b"%d" % len(refusal.body)


def test_an_unknown_encoding_is_told_what_is_known() -> None:
    """UNIMPLEMENTED with grpc-accept-encoding."""
    refusal = head_of((b"grpc-encoding", b"snappy")).refusal
    assert refusal is not None
    found = fields_of(refusal.block)
    assert (found[b":status"], found[b"grpc-status"]) == (b"200", b"12")
    assert found[b"grpc-accept-encoding"] == b"identity,deflate,gzip"
    assert b"snappy" in found[b"grpc-message"]


def test_a_path_need_not_be_text() -> None:
    """It is shown in an error, and matches no method."""
    assert grpc.read_head(dict(request_fields()) | {b":path": b"/\xff"}).path == "/\ufffd"


@pytest.mark.parametrize(
    ("details", "wire"),
    [
        ("plain text, with: signs!", b"plain text, with: signs!"),
        ("100%", b"100%25"),
        ("two\nlines\t", b"two%0Alines%09"),
        ("größer", b"gr%C3%B6%C3%9Fer"),
        ("~ \x7f", b"~ %7F"),
        (" blanks at its ends  ", b"%20blanks at its ends%20%20"),
        ("  ", b"%20%20"),
        ("\ud800", b"?"),
    ],
)
def test_details_are_percent_encoded(details: str, wire: bytes) -> None:
    """UTF-8; what is printable stays, but for what no field of HTTP/2 may have."""
    assert fields_of(grpc.trailers(13, details)) == {b"grpc-status": b"13", b"grpc-message": wire}


@given(st.text(max_size=200))
def test_details_come_back(details: str) -> None:
    """Whatever they say."""
    found = fields_of(grpc.trailers(5, details)).get(b"grpc-message", b"")
    assert unquote_to_bytes(found) == details.encode("utf-8", "replace")
    assert found == found.strip()


def test_long_details_are_cut() -> None:
    """All trailers of an error fit into one frame."""
    assert len(grpc.trailers(13, "ü" * 100_000)) < 16_384


def test_metadata_of_trailers() -> None:
    """Names in lower case, binary values in base64 without padding."""
    block = grpc.trailers(0, metadata=[("Some", "text"), ("raw-bin", b"\0\xff"), ("text-bin", "a")])
    expected = {b"grpc-status": b"0", b"some": b"text", b"raw-bin": b"AP8", b"text-bin": b"YQ"}
    assert fields_of(block) == expected
    assert fields_of(grpc.response_headers([("some", "text")]))[b"some"] == b"text"


@pytest.mark.parametrize(
    ("value", "binary"),
    [(b"AP8=", b"\0\xff"), (b"AP8", b"\0\xff"), (b"", b""), (b"YQ==,Yg", b"ab"), (b"YWJj", b"abc")],
)
def test_binary_metadata_of_a_request(value: bytes, binary: bytes) -> None:
    """Padded or not, and several values in one field."""
    assert grpc.metadata_of([(b"some-bin", value), (b"plain", b"t\xe4xt")]) == (
        ("some-bin", binary),
        ("plain", "t\xe4xt"),
    )


@pytest.mark.parametrize("value", [b"A", b"AP8===", b"A=P8", b"!!!!", b"AP 8", b"YQ==Yg=="])
def test_bad_base64_fails_the_call(value: bytes) -> None:
    """INTERNAL, naming the field."""
    with pytest.raises(RpcError, match="some-bin") as caught:
        grpc.metadata_of([(b"some-bin", value)])
    assert caught.value.grpc_status is GrpcStatus.INTERNAL


@given(st.binary(max_size=100))
def test_binary_metadata_comes_back(value: bytes) -> None:
    """What a server of ours sends, a server of ours reads."""
    sent = fields_of(grpc.trailers(0, metadata=[("x-bin", value)]))[b"x-bin"]
    assert grpc.metadata_of([(b"x-bin", sent)]) == (("x-bin", value),)


MESSAGES = [b"", b"a", b"second" * 20, b""]
BODY = b"".join(map(frame_message, MESSAGES))


@pytest.mark.parametrize("cut", range(len(BODY) + 1))
def test_a_body_may_be_cut_anywhere(cut: int) -> None:
    """The same messages come out; what is not whole is counted."""
    reader = MessageReader(b"identity", LIMIT)
    first = reader.feed(BODY[:cut])
    assert sum(map(len, first)) + 5 * len(first) + reader.buffered == cut
    assert first + reader.feed(BODY[cut:]) == MESSAGES
    assert reader.buffered == 0
    reader.finish()


def test_a_body_byte_by_byte() -> None:
    """Nothing depends on how it is cut."""
    reader = MessageReader(b"identity", LIMIT)
    assert [message for byte in BODY for message in reader.feed(bytes((byte,)))] == MESSAGES


@pytest.mark.parametrize("body", [b"\0", b"\0\0\0\0", b"\0\0\0\0\x05abcd", frame_message(b"whole") + b"\0"])
def test_a_body_that_ends_within_a_message(body: bytes) -> None:
    """INTERNAL, once the body is over."""
    reader = MessageReader(b"identity", LIMIT)
    reader.feed(body)
    with pytest.raises(RpcError) as caught:
        reader.finish()
    assert caught.value.grpc_status is GrpcStatus.INTERNAL


def compressed(encoding: bytes, message: bytes) -> bytes:
    """A compressed message with its prefix."""
    packed = gzip.compress(message, mtime=0) if encoding == b"gzip" else zlib.compress(message)
    return b"\1" + len(packed).to_bytes(4, "big") + packed


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
def test_compressed_messages(encoding: bytes, size: int) -> None:
    """Up to the limit, beside plain ones in the same body."""
    body = compressed(encoding, b"x" * size) + frame_message(b"plain")
    assert MessageReader(encoding, LIMIT).feed(body) == [b"x" * size, b"plain"]


PACKED = compressed(b"gzip", b"x" * 50)[5:]


def prefixed(message: bytes) -> bytes:
    """A message that says it is compressed."""
    return b"\1" + len(message).to_bytes(4, "big") + message


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        (b"identity", b"\2\0\0\0\0", GrpcStatus.INTERNAL),
        (b"identity", b"\xff\0\0\0\0", GrpcStatus.INTERNAL),
        (b"identity", prefixed(b""), GrpcStatus.INTERNAL),
        (b"gzip", prefixed(b""), GrpcStatus.INTERNAL),
        (b"gzip", prefixed(b"no gzip"), GrpcStatus.INTERNAL),
        (b"gzip", prefixed(zlib.compress(b"x")), GrpcStatus.INTERNAL),
        (b"deflate", prefixed(gzip.compress(b"x", mtime=0)), GrpcStatus.INTERNAL),
        (b"gzip", prefixed(PACKED[:-1]), GrpcStatus.INTERNAL),
        (b"gzip", prefixed(PACKED + b"more"), GrpcStatus.INTERNAL),
        (b"gzip", prefixed(PACKED[:-8] + bytes(8)), GrpcStatus.INTERNAL),
        (b"identity", b"\0" + (LIMIT + 1).to_bytes(4, "big"), GrpcStatus.RESOURCE_EXHAUSTED),
        (b"identity", b"\0\xff\xff\xff\xff", GrpcStatus.RESOURCE_EXHAUSTED),
        (b"gzip", compressed(b"gzip", b"x" * (LIMIT + 1)), GrpcStatus.RESOURCE_EXHAUSTED),
        (b"deflate", compressed(b"deflate", bytes(100 * LIMIT)), GrpcStatus.RESOURCE_EXHAUSTED),
    ],
)
def test_messages_that_cannot_be_read(encoding: bytes, body: bytes, status: GrpcStatus) -> None:
    """A flag without sense, no such compression, one cut, with more behind it, with a wrong sum; too large a size."""
    with pytest.raises(RpcError) as caught:
        MessageReader(encoding, LIMIT).feed(body)
    assert caught.value.grpc_status is status


def test_a_bomb_is_inflated_to_the_limit_only() -> None:
    """64 MiB from 64 KiB: what is beyond the limit is never made."""
    squeezed = zlib.compressobj()
    bomb = b"".join(squeezed.compress(bytes(2**20)) for _ in range(64)) + squeezed.flush()
    tracemalloc.start()
    with pytest.raises(RpcError, match="at most 100000 are allowed"):
        MessageReader(b"deflate", 100_000).feed(prefixed(bomb))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@given(st.binary(max_size=60), st.sampled_from([b"identity", b"gzip", b"deflate"]))
def test_no_other_exception_escapes(body: bytes, encoding: bytes) -> None:
    """Whatever the body: messages within the limit, or an RpcError."""
    with contextlib.suppress(RpcError):
        assert all(len(message) <= LIMIT for message in MessageReader(encoding, LIMIT).feed(body))
