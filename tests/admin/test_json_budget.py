import gzip
import json
import time
import zlib

import pytest
from google.protobuf import json_format
from hypothesis import given

from ratelimit.admin.json_budget import BODY_BYTES_MAX, decompressed, request_pieces
from ratelimit.descriptors.limit import Unit
from ratelimit.errors import RpcError
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.messages import parse_request
from tests.admin.json_texts import bodies

ENTRY = {"key": "k", "value": "v"}


def whole(body: bytes) -> bytes:
    """All pieces."""
    return b"".join(request_pieces(body))


def test_the_largest_request_is_built_whole() -> None:
    """64 descriptors of 32 entries, in pieces of a descriptor."""
    body = json.dumps({"descriptors": [{"entries": [ENTRY] * 32}] * 64, "domain": "d", "hitsAddend": 3}).encode()
    request = parse_request(whole(body))
    assert (request.domain, request.hits_addend) == ("d", 3)
    assert [len(descriptor.entries) for descriptor in request.descriptors] == [32] * 64
    assert len(list(request_pieces(body))) == 65


@given(bodies)
def test_pieces_say_what_the_whole_says(body: bytes) -> None:
    """Whatever protobuf's reader takes is taken with the same meaning, and nothing that it refuses."""
    try:
        built = whole(body)
    except RpcError:
        return
    assert parse_or_none(built) == parse_or_none(by_protobuf(body))


def by_protobuf(body: bytes) -> bytes:
    """What protobuf's own reader of a whole text makes of it."""
    return json_format.Parse(body, rls_pb2.RateLimitRequest()).SerializeToString()


def parse_or_none(message: bytes) -> object:
    """None for an override that no request may have."""
    try:
        return parse_request(message)
    except RpcError:
        return None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[" * 20_000 + b"]" * 20_000, "more than 8192 values"),
        (b'{"descriptors":[' + b"{}," * 20_000 + b"{}]}", "more than 8192 values"),
        (b'{"a":' * 1_000 + b"1" + b"}" * 1_000, "deeper than 32 levels"),
        (json.dumps({"descriptors": [{}] * 65}).encode(), "65 descriptors, at most 64"),
        (json.dumps({"descriptors": [{}, {"entries": [{}] * 33}]}).encode(), r"descriptors\[1\]: 33 entries"),
        (b" " * (BODY_BYTES_MAX + 1), "larger than 65536 bytes"),
        (b'{"domain": "d", "domain": "e"}', "a key is given twice"),
        (b'{"descriptors": [{}, {"entires": []}]}', r"descriptors\[1\]"),
        (b"[]", "an object is wanted"),
        (b'{"domain": "\xff"}', "utf-8"),
        (b'{"domain": "\\ud800"}', "not a RateLimitRequest"),
    ],
    ids=range(11),
)
def test_what_is_refused_says_why(body: bytes, reason: str) -> None:
    """Before it is built, as far as counting can tell."""
    with pytest.raises(RpcError, match=reason):
        whole(body)


def test_what_stands_in_a_string_is_not_counted() -> None:
    """A value may be full of brackets and commas: only the structure is budgeted."""
    value = '{[,\\"' * 700
    body = json.dumps({"domain": "d", "descriptors": [{"entries": [{"key": "k", "value": value}]}] * 8}).encode()
    assert parse_request(whole(body)).descriptors[7].entries == (("k", value),)


@pytest.mark.parametrize(
    "unit", ['"\\"', '"', '"a",', '\\"', "[", "{}", "[],", '{"a":1},', "1,", '"\\\\', "\\"], ids=ascii
)
def test_no_body_takes_long_in_one_piece(unit: str) -> None:
    """64 KiB of whatever is most work: the loop may be held for 10 ms; twice that allows for a slow machine."""
    body = (unit * BODY_BYTES_MAX)[:BODY_BYTES_MAX].encode()
    longest = min(longest_piece(body) for _ in range(3))
    assert longest < 0.02


def longest_piece(body: bytes) -> float:
    """In seconds of this thread, so that what else the machine does is not measured."""
    pieces, longest, more = request_pieces(body), 0.0, True
    while more:
        started = time.thread_time()
        try:
            next(pieces)
        except (StopIteration, RpcError):
            more = False
        longest = max(longest, time.thread_time() - started)
    return longest


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("", b"{}"),
        ("identity", b"{}"),
        ("gzip", gzip.compress(b"{}", mtime=0)),
        ("deflate", zlib.compress(b"{}")),
        ("deflate", zlib.compress(b"{}", wbits=-15)),
    ],
)
def test_what_clients_compress_is_read(encoding: str, body: bytes) -> None:
    """With and without zlib's header, since both are sent."""
    assert decompressed(body, encoding) == b"{}"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity", ""])
def test_what_is_not_compressed_stays_as_it_is(encoding: str) -> None:
    """Whatever the header says."""
    assert decompressed(b'{"domain": "d"}', encoding) == b'{"domain": "d"}'


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        ("gzip", gzip.compress(b" " * 50_000_000, mtime=0), "larger than 65536 bytes"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-4], "ends too early"),
        ("deflate", b"", "ends too early"),
    ],
    ids=["bomb", "cut", "empty"],
)
def test_what_cannot_be_read_is_refused(encoding: str, body: bytes, reason: str) -> None:
    """A bomb never grows beyond the limit of a body."""
    with pytest.raises(RpcError, match=reason):
        decompressed(body, encoding)


@pytest.mark.parametrize(
    "text",
    [
        b'{"domain": "d", "hitsAddend": 1, "hits_addend": 1}',
        b'{"domain": "d", "descriptors": [[]]}',
        b'{"domain": "d", "descriptors": [""]}',
        b'{"domain": "d", "descriptors": [{"entries": [[]]}]}',
        b'{"domain": "d", "descriptors": [{"limit": []}]}',
        b'{"domain": "d", "descriptors": [{"limit": {"unit": "3"}}]}',
    ],
)
def test_what_only_python_s_reader_would_take_is_refused(text: bytes) -> None:
    """As Go's protojson does: both names of a field, what is no object in its place, a number in quotes as unit."""
    with pytest.raises(RpcError, match="not a RateLimitRequest in JSON"):
        whole(text)


@pytest.mark.parametrize("unit", [b"3", b"3.0", b'"HOUR"'])
def test_a_unit_is_a_name_or_a_number(unit: bytes) -> None:
    """A limit of null is none."""
    text = b'{"domain": "d", "descriptors": [{"limit": {"unit": %s}}, {"limit": null}]}' % unit
    read = parse_request(whole(text))
    assert [each.limit and each.limit.unit for each in read.descriptors] == [Unit.HOUR, None]
