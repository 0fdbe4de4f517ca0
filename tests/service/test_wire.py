import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.service.messages import parse_request
from ratelimit.service.wire import FIELDS_MAX, MESSAGE_BYTES_MAX, SMALL_BYTES_MAX, check_size
from tests.service.messages_of import descriptor, request

PADDING = "x" * SMALL_BYTES_MAX


def test_what_is_allowed_passes() -> None:
    """The most descriptors with the most entries."""
    most = descriptor(*[("k", "v" * 10)] * 32)
    check_size(request(*[most] * 64, hits_addend=7))
    check_size(request(domain=PADDING))


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x12\x00" * 2_000, "more than 64 descriptors"),
        (b"\x12\x00" * 250_000, "more than 64 descriptors"),
        (request(descriptor(*[("", PADDING[:30])] * 33), domain=PADDING), r"descriptors\[0\]: entries"),
        (b"\x18\x01" * 2_000, f"more than {FIELDS_MAX} fields"),
        (b"\x12" + b"\xa0\x1f" + b"\x10\x00" * 2_000, f"more than {FIELDS_MAX} fields"),
        (b"\x0a" + b"x" * (MESSAGE_BYTES_MAX + 1), "the request has"),
    ],
)
def test_what_is_too_much_is_refused_before_it_is_built(message: bytes, reason: str) -> None:
    """With the reason, and whose fault it is."""
    with pytest.raises(RpcError, match=reason) as caught:
        check_size(message)
    assert caught.value.grpc_status is GrpcStatus.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "rest", [b"\xff" * 12, b"\x12\x05a", b"\x0b", b"\x09abc", b"\x12", b"\x08", b"\x12\xff\xff\xff\xff\x0f"]
)
def test_what_is_garbled_is_internal(rest: bytes) -> None:
    """A cut or impossible message is no RateLimitRequest."""
    with pytest.raises(RpcError) as caught:
        check_size(request(domain=PADDING) + rest)
    assert caught.value.grpc_status is GrpcStatus.INTERNAL


@given(st.binary(max_size=60), st.integers(0, 3))
def test_no_exception_escapes_and_nothing_good_is_refused(rest: bytes, copies: int) -> None:
    """Whatever the bytes: an RpcError or nothing, and where protobuf can read a message of that size, so can we."""
    message = request(*[descriptor(("k", "v"))] * copies, domain=PADDING) + rest
    try:
        check_size(message)
    except RpcError as error:
        if error.grpc_status is GrpcStatus.INTERNAL and not _has_groups(message):
            with pytest.raises(RpcError):
                parse_request(message)


def _has_groups(message: bytes) -> bool:
    """Groups (wire types 3 and 4) are not counted: no message of rls.proto has one."""
    return any(byte & 7 in {3, 4} for byte in message[SMALL_BYTES_MAX:])
