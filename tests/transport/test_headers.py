import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.errors import ConnectionViolation
from ratelimit.transport import grpc
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.headers import NO_TEXT, HeaderBlock, HeaderDecoder

FIRST = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]


def decoder(list_bytes: int = 16_384, fields: int = 100) -> HeaderDecoder:
    """A decoder with the default bounds."""
    return HeaderDecoder(list_bytes, fields)


def decode(wire: str) -> HeaderBlock:
    """What a fresh decoder makes of a block."""
    return decoder().decode(bytes.fromhex(wire))


@pytest.mark.parametrize(
    "blocks",
    [
        (
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ),
        (
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ),
    ],
    ids=["C.3 plain", "C.4 Huffman"],
)
def test_the_requests_of_the_rfc(blocks: tuple[str, str, str]) -> None:
    """RFC 7541 appendix C: three requests on one connection, each building on the table of those before."""
    one = decoder()
    first, second, third = (one.decode(bytes.fromhex(each)) for each in blocks)
    assert first.fields == FIRST
    assert second.fields == [*FIRST, (b"cache-control", b"no-cache")]
    assert third.fields[1:3] == [(b":scheme", b"https"), (b":path", b"/index.html")]
    assert third.fields[4] == (b"custom-key", b"custom-value")
    assert [each.changes_table for each in (first, second, third)] == [True, True, True]
    assert [each.reads_table for each in (first, second, third)] == [False, True, True]


@pytest.mark.parametrize(
    ("wire", "field", "text", "changes"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), (12, 26), True),
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path"), (1, 14), False),
        ("100870617373776f726406736563726574", (b"password", b"secret"), (10, 17), False),
        ("82", (b":method", b"GET"), NO_TEXT, False),
    ],
    ids=["C.2.1 indexed", "C.2.2 not indexed", "C.2.3 never indexed", "C.2.4 an index"],
)
def test_each_kind_of_field(wire: str, field: tuple[bytes, bytes], text: tuple[int, int], changes: bool) -> None:
    """RFC 7541 §C.2: the field, where its text stands, and whether the table is another one afterwards."""
    found = decode(wire)
    assert found.fields == [field]
    assert found.texts == [text]
    assert found.changes_table is changes
    assert not found.reads_table


@pytest.mark.parametrize(
    "wire",
    ["04", "040c2f73", "0401", "00", "0003616263", "000361", "0003616263057a", "ff", "7f80", "04ffffff", "3f", "00ff"],
)
def test_a_block_that_ends_within_a_field_breaks_the_connection(wire: str) -> None:
    """The tables would be out of step: COMPRESSION_ERROR."""
    with pytest.raises(ConnectionViolation) as caught:
        decode(wire)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


@pytest.mark.parametrize(
    ("wire", "what"),
    [
        ("80", "index 0"),
        ("be", "an index beyond the tables"),
        ("7e0161", "a name beyond the tables"),
        ("0485ffffffffff", "padding of Huffman code longer than seven bits"),
        ("048100", "padding that is no prefix of EOS"),
        ("ffffffffff7f", "an integer of more than 31 bits"),
        ("ff80808080808000", "an integer of endless noughts"),
        ("3fe21f", "a table of 4097 bytes"),
        ("202020", "three size updates"),
        ("8220", "a size update after a field"),
    ],
)
def test_what_hpack_forbids_breaks_the_connection(wire: str, what: str) -> None:
    """RFC 7541 §2.3.3, §4.2, §5.1, §5.2 and our bounds."""
    with pytest.raises(ConnectionViolation) as caught:
        decode(wire)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR, what


def test_two_size_updates_may_lead_a_block() -> None:
    """RFC 7541 §4.2: the smallest and the last; they change the table."""
    found = decode("20" + "3fe11f" + "82")
    assert found.fields == [(b":method", b"GET")]
    assert found.changes_table


def test_a_table_that_was_refused_may_not_be_asked_for_again() -> None:
    """Once the peer knows that we want none, only an update to 0 is right."""
    one = decoder()
    one.table_bytes_max = 0
    assert one.decode(b"\x20\x82").fields == [(b":method", b"GET")]
    with pytest.raises(ConnectionViolation):
        one.decode(b"\x21\x82")


def test_fields_are_counted_before_anything_is_decoded() -> None:
    """A block of many tiny fields is refused as a whole."""
    assert len(decoder(fields=100).decode(b"\x82" * 100).fields) == 100
    with pytest.raises(ConnectionViolation) as caught:
        decoder(fields=100).decode(b"\x82" * 101)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


def test_indices_of_a_large_entry_are_no_bomb() -> None:
    """The size of the decoded list is bounded while it grows (CVE-2016-6581)."""
    one = decoder()
    one.decode(b"\x40\x01a" + grpc.field(b"", b"x" * 3000)[2:])
    with pytest.raises(ConnectionViolation, match="16384"):
        one.decode(b"\xbe" * 50)


TEXTS = st.binary(max_size=300)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.booleans()), max_size=8), st.booleans())
def test_what_an_encoder_writes_is_read_back(fields: list[tuple[bytes, bytes, bool]], huffman: bool) -> None:
    """Whatever the names and values; each text stands where it is said to."""
    block = Encoder().encode(fields, huffman=huffman)
    found = decoder(list_bytes=100_000).decode(block)
    assert found.fields == [(name, value) for name, value, _ in fields]
    if not huffman:
        shown = [b"" if text == NO_TEXT else block[slice(*text)] for text in found.texts]
        assert all(text.endswith(value) or not text for text, (_, value, _) in zip(shown, fields, strict=True))


@given(st.binary(max_size=80))
def test_no_other_exception_escapes(block: bytes) -> None:
    """Whatever the bytes: fields with their texts in order, or a ConnectionViolation."""
    try:
        found = decoder().decode(block)
    except ConnectionViolation:
        return
    assert len(found.fields) == len(found.texts)
    ends = [end for text in found.texts if text != NO_TEXT for end in text]
    assert ends == sorted(ends)
