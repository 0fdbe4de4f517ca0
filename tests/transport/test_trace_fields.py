import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.transport.headers import HeaderDecoder
from ratelimit.transport.request_head import RequestHead, RequestHeads
from ratelimit.transport.trace_fields import (
    _NOT_SAMPLED,
    TRACEPARENT,
    UNSAMPLED,
    TracedMemo,
    _ends,
    parent_of,
    read_parent,
)
from tests.transport.core import DIRECT, UNKNOWN, request_fields
from tests.transport.test_block_memo import HUFFMAN, judge

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
W3C = b"00-" + TRACE + b"-" + SPAN
PATHS = (b"plain", b"coded")


def block(*more: tuple[bytes, bytes], coded: bool = True, path: str = DIRECT) -> bytes:
    """A header block of literals without indexing, as an Envoy sends it, in Huffman's code or plain."""

    def text(value: bytes) -> bytes:
        written = HUFFMAN.encode(value) if coded else value
        return bytes((len(written) | (0x80 if coded else 0),)) + written

    return b"".join(b"\0" + text(name) + text(value) for name, value in request_fields(path, *more))


def memo_of(*blocks: bytes) -> TracedMemo:
    """A memo that has learned these, in order."""
    memo = TracedMemo()
    for one in blocks:
        decoded = HeaderDecoder(16_384, 100).decode(one)
        memo.learn(one, decoded, read_parent(RequestHeads(judge).head(decoded.fields)))
    return memo


def found(memo: TracedMemo, one: bytes) -> RequestHead:
    """What the memo knows of a block, which it must know."""
    head = memo.find(b"" + one)
    assert head is not None
    return head


@pytest.mark.parametrize(
    ("fields", "sampled"),
    [
        ({}, None),
        ({"traceparent": W3C + b"-01"}, True),
        ({"traceparent": W3C + b"-03"}, True),
        ({"traceparent": W3C + b"-00"}, False),
        ({"traceparent": W3C + b"-02"}, False),
        ({"traceparent": b"cc-" + TRACE + b"-" + SPAN + b"-01-more"}, True),
        ({"traceparent": b"ff-" + TRACE + b"-" + SPAN + b"-01"}, None),
        ({"traceparent": b"00-" + b"0" * 32 + b"-" + SPAN + b"-01"}, None),
        ({"traceparent": b"garbage"}, None),
        ({"tracestate": b"a=b"}, None),
        ({"b3": TRACE + b"-" + SPAN + b"-1"}, True),
        ({"b3": TRACE + b"-" + SPAN + b"-d-" + SPAN}, True),
        ({"b3": SPAN + b"-" + SPAN + b"-0"}, False),
        ({"b3": TRACE + b"-" + SPAN}, False),
        ({"b3": b"0"}, False),
        ({"b3": b"x", "traceparent": W3C + b"-01"}, True),
        ({"b3": b"0", "traceparent": W3C + b"-01"}, False),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": b"1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-flags": b"1"}, True),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": b"0", "traceparent": W3C + b"-01"}, False),
        ({"x-b3-traceid": TRACE, "x-b3-spanid": b"?", "x-b3-sampled": b"1"}, None),
    ],
)
def test_whether_a_call_is_traced(fields: dict[str, bytes], sampled: bool | None) -> None:
    """B3 goes before W3C; what is broken is as if it were not there."""
    given = [(name.encode(), value) for name, value in fields.items()]
    parent = parent_of([(b"te", b"trailers"), *given])
    if sampled:
        assert parent is not None
        assert parent.fields == parent.decoded() == tuple(given)
    else:
        assert parent is (None if sampled is None else UNSAMPLED)


@pytest.mark.parametrize("coded", [True, False])
def test_a_template_tells_the_parent_of_each_call(coded: bool) -> None:
    """One head for all that are not traced; one of its own, with its fields, for each that is."""

    def one(number: int, flags: bytes, more: tuple[bytes, bytes] = (b"x-last", b"1")) -> bytes:
        parent = b"00-%032x-%016x-%b" % (number, number, flags)
        return block((b"x-request-id", b"%09d" % number), (b"traceparent", parent), more, coded=coded)

    memo = memo_of(one(1, b"01"), one(2, b"00"), one(3, b"01"))
    quiet = {id(found(memo, one(number, b"00"))) for number in range(4, 60)}
    assert len(quiet) == 1
    assert found(memo, one(61, b"00")).parent is UNSAMPLED
    for number in range(62, 120):
        head = found(memo, one(number, b"01"))
        assert memo.exact is None
        assert head.parent.coded
        assert head.parent.decoded() == ((b"traceparent", b"00-%032x-%016x-01" % (number, number)),)
        assert head.call.direct is not None
    assert found(memo, one(1, b"01")).parent.decoded()[0][1].endswith(b"01-01")


def test_fields_of_b3_are_told_likewise() -> None:
    """In several fields, the one that decides is looked at; in one, it is decoded, and all of it is in the parent."""

    def several(number: int, sampled: bytes) -> bytes:
        ids = (b"x-b3-traceid", b"%032x" % number), (b"x-b3-spanid", b"%016x" % number)
        return block(*ids, (b"x-b3-sampled", sampled))

    def single(number: int, sampled: bytes) -> bytes:
        return block((b"b3", b"%032x-%016x-%b" % (number, number, sampled)))

    for one in (several, single):
        memo = memo_of(one(1, b"1"), one(2, b"0"), one(3, b"1"))
        assert found(memo, one(4, b"0")).parent is UNSAMPLED
        assert dict(found(memo, one(5, b"1")).parent.decoded())


@pytest.mark.parametrize("sampled", [b"1", b"0"])
def test_where_what_decides_stays_the_same_all_calls_are_alike(sampled: bytes) -> None:
    """Ids change, x-b3-sampled does not."""

    def one(number: int) -> bytes:
        ids = (b"x-b3-traceid", b"%032x" % number), (b"x-b3-spanid", b"%016x" % number)
        return block(*ids, (b"x-b3-sampled", sampled))

    head = found(memo_of(one(1), one(2)), one(77))
    if sampled == b"0":
        assert head.parent is UNSAMPLED
    else:
        assert dict(head.parent.decoded())[b"x-b3-traceid"] == b"%032x" % 77


def test_calls_without_tracing_fields_have_no_parent() -> None:
    """Other fields may change; what is no direct method has no template."""
    memo = memo_of(*(block((b"x-request-id", b"%d" % number)) for number in (1, 2)))
    assert found(memo, block((b"x-request-id", b"3"))).parent is None
    memo = memo_of(*(block((b"x-request-id", b"%d" % number), path=UNKNOWN) for number in (1, 2)))
    assert memo.find(block((b"x-request-id", b"3"), path=UNKNOWN)) is None


def test_what_is_no_such_block_is_not_taken_for_one() -> None:
    """Cut short, with other parts, with texts that are too long, or with code that is none."""

    def one(number: int, flags: bytes = b"00", last: bytes = b"1") -> bytes:
        parent = b"00-%032x-%016x-%b" % (number, number, flags)
        return block((b"x-request-id", b"%d" % number), (b"traceparent", parent), (b"x-last", last))

    memo = memo_of(one(11), one(12))
    memo.find(one(13))
    whole = one(14)
    assert all(memo.find(whole[:size]) is None for size in range(len(whole)))
    assert memo.find(one(15, last=b"2")) is None
    at = whole.index(HUFFMAN.encode(b"14"))
    for size in (0xFF, 0x85):
        assert memo.find(whole[: at - 1] + bytes((size,)) + whole[at:]) is None
    code = HUFFMAN.encode(b"00-%032x-%016x-00" % (14, 14))
    broken = found(memo, whole.replace(code, b"\xff" * len(code)))
    assert broken.parent.decoded() == ((b"traceparent", b""),)


@given(
    st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.sampled_from([b"00", b"01", b"02", b"03"]), st.booleans()
)
def test_the_short_look_says_what_reading_says(trace: int, span: int, flags: bytes, coded: bool) -> None:
    """Whatever the ids are: the last bits alone tell."""
    parent = b"00-%032x-%016x-%b" % (trace, span, flags)
    memo = memo_of(*(block((b"traceparent", W3C[:-2] + b"%02x-00" % number), coded=coded) for number in (1, 2)))
    head = found(memo, block((b"traceparent", parent), coded=coded))
    assert (head.parent is UNSAMPLED) == (parent_of([(b"traceparent", parent)]) is UNSAMPLED)


def test_no_end_of_a_traced_call_is_one_of_another() -> None:
    """In any place of the last bits, coded or plain."""
    traced = {*_ends(b"-01"), *_ends(b"-03"), *_ends(b"-0b")}
    assert not traced & _NOT_SAMPLED[TRACEPARENT]
