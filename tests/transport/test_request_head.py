import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import StreamViolation
from ratelimit.transport import grpc
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.headers import Field
from ratelimit.transport.request_head import REMEMBERED_MAX, RequestHead, RequestHeads, is_ordinary
from tests.transport.core import request_fields

GOOD = request_fields("/s/M")


def head(fields: list[Field]) -> RequestHead:
    """What a connection that has seen nothing yet makes of these fields."""
    return RequestHeads(grpc.read_head).head(fields)


def without(name: bytes, *more: Field) -> list[Field]:
    """A good request's fields without one, and some more at their end."""
    return [*(field for field in GOOD if field[0] != name), *more]


def test_a_sound_head() -> None:
    """What it means for a call, its length, and the ordinary fields in their order, repeated ones too."""
    more = [(b"x-one", b"1"), (b"content-length", b"12"), (b"x-two", b""), (b"x-one", b"2")]
    found = head([*GOOD, *more])
    assert found.call == grpc.CallHead("/s/M")
    assert found.content_length == 12
    assert found.metadata == ((b"x-one", b"1"), (b"x-two", b""), (b"x-one", b"2"))
    assert head(GOOD).metadata == ()


@pytest.mark.parametrize(
    "fields",
    [
        [(b":x", b"1"), *GOOD],
        [(b":status", b"200"), *GOOD],
        [*GOOD, (b":path", b"/s/M")],
        [(b":path", b"/s/M"), *GOOD],
        [(b":method", b"POST"), *GOOD],
        [*GOOD[:3], (b"x-one", b"1"), (b":authority", b"a")],
        without(b":method"),
        without(b":scheme"),
        without(b":path"),
        [*without(b":path")[:2], (b":path", b"")],
        [(b":method", b"CONNECT"), (b":authority", b"a")],
        [(b":method", b"CONNECT"), *without(b":method")],
        [],
    ],
)
def test_pseudo_fields(fields: list[Field]) -> None:
    """RFC 9113 §8.3: unknown, of a response, late, doubled, missing or empty ones are malformed."""
    with pytest.raises(StreamViolation) as caught:
        head(fields)
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "field",
    [
        (b"", b"x"),
        (b"X-one", b"x"),
        (b"x one", b"x"),
        (b"x:one", b"x"),
        (b"x\0", b"x"),
        (b"x\xe4", b"x"),
        (b"x\n", b"x"),
        (b"x", b"a\r\nb"),
        (b"x", b"a\n"),
        (b"x", b"\0"),
        (b"x", b" a"),
        (b"x", b"a "),
        (b"x", b"\ta"),
        (b"x", b" "),
        (b"connection", b"close"),
        (b"keep-alive", b"1"),
        (b"proxy-connection", b"close"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
        (b"te", b"trailers, deflate"),
        (b"content-length", b"-1"),
        (b"content-length", b"+1"),
        (b"content-length", b"1,1"),
        (b"content-length", b""),
        (b"content-length", b"1" * 16),
        (b"content-length", "١".encode()),
        (b"host", b"another"),
    ],
)
def test_a_malformed_field(field: Field) -> None:
    """RFC 9113 §8.2: names, values, fields of HTTP/1, and those that contradict others."""
    with pytest.raises(StreamViolation) as caught:
        head([*without(field[0]), field])
    assert caught.value.code is ErrorCode.PROTOCOL_ERROR


@pytest.mark.parametrize("name", [b"te", b"content-type", b"grpc-timeout", b"content-length", b"host"])
def test_a_field_with_a_meaning_comes_once(name: bytes) -> None:
    """Whoever reads the first and whoever reads the last must not see two requests."""
    value = {b"te": b"trailers", b"host": b"ratelimit"}.get(name, b"1")
    with pytest.raises(StreamViolation, match="twice"):
        head([*without(name), (name, value), (name, value)])


@pytest.mark.parametrize(
    "field", [(b"te", b"Trailers"), (b"host", b"ratelimit"), (b"x", b"in side"), (b"!#$%&'*+-.^_`|~09az", b"\xff")]
)
def test_what_is_allowed(field: Field) -> None:
    """A host that agrees, bytes above ASCII in a value, every character of a token."""
    head([*without(field[0]), field])


def test_a_host_may_stand_for_the_authority() -> None:
    """As in a request that was HTTP/1 before."""
    head(without(b":authority", (b"host", b"whoever")))


def test_trailers_are_checked_too() -> None:
    """They may have no pseudo-fields, and fields of every other kind."""
    heads = RequestHeads(grpc.read_head)
    heads.check_trailers([(b"x-one", b"1"), (b"te", b"trailers")])
    for field in ((b":path", b"/"), (b"X", b""), (b"connection", b"close"), (b"x", b"\n")):
        with pytest.raises(StreamViolation):
            heads.check_trailers([field])


def test_a_head_is_judged_once() -> None:
    """Tracing fields change nothing of it: only their values are new."""
    judged = []

    def judge(fields: dict[bytes, bytes]) -> grpc.CallHead:
        judged.append(fields)
        return grpc.read_head(fields)

    heads = RequestHeads(judge)
    found = [heads.head([*GOOD, (b"traceparent", b"%d" % number)]) for number in range(5)]
    assert len(judged) == 1
    assert [each.metadata[0][1] for each in found] == [b"0", b"1", b"2", b"3", b"4"]
    assert all(each.call is found[0].call for each in found)


def test_what_is_remembered_is_bounded() -> None:
    """In number and in bytes, whatever a client sends; what was forgotten is worked out again."""
    heads = RequestHeads(grpc.read_head)
    for number in range(3 * REMEMBERED_MAX):
        timeout = b"%dm" % number
        found = heads.head([*GOOD, (b"grpc-timeout", timeout), (b"x-long", b"x" * 600)])
        assert found.call.timeout_s == pytest.approx(number / 1000)
        assert len(heads._kinds) <= REMEMBERED_MAX
        assert len(heads._heads) <= REMEMBERED_MAX
    heads.head([*without(b":path")[:2], (b":path", b"/" + b"x" * 600), *without(b":path")[3:]])
    assert not any(b"x" * 600 in value for fields in heads._heads for _, value in fields)
    assert not any(b"x" * 600 in value for _, value in heads._kinds)


def test_a_list_may_come_in_pieces() -> None:
    """`grpc-accept-encoding` more than once is no fault; what has one value is."""
    heads = RequestHeads(grpc.read_head)
    pieces = [(b"grpc-accept-encoding", b"gzip"), (b"grpc-accept-encoding", b"identity")]
    assert heads.head([*GOOD, *pieces]).call.refusal is None
    with pytest.raises(StreamViolation, match="twice"):
        heads.head([*GOOD, (b"grpc-timeout", b"1S"), *pieces, (b"grpc-timeout", b"1S")])


NAMES = st.sampled_from(
    [b":method", b":path", b":scheme", b":authority", b"te", b"host", b"x", b"content-length", b"X", b""]
)
VALUES = st.sampled_from([b"POST", b"/s/M", b"http", b"trailers", b"1", b"", b" ", b"a\n"])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_the_same_fields_are_judged_the_same_way_again(fields: list[Field]) -> None:
    """What is remembered never changes an answer."""
    heads = RequestHeads(grpc.read_head)
    heads.head(GOOD)
    answers = []
    for each in (heads, heads, RequestHeads(grpc.read_head)):
        try:
            answers.append(repr(each.head(fields)))
        except StreamViolation as violation:
            answers.append(violation.reason)
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize(
    ("name", "ordinary"), [(b"traceparent", True), (b"x-request-id", True), (b":path", False), (b"grpc-timeout", False)]
)
def test_which_fields_are_ordinary(name: bytes, ordinary: bool) -> None:
    """Those that neither HTTP/2 nor gRPC looks at."""
    assert is_ordinary(name) is ordinary
