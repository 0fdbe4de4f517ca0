from itertools import islice

import pytest
from hpack import Decoder
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given
from hypothesis import strategies as st

from loadtest.header_blocks import PATH, TABLE_SIZE_0, blocks, huffman


@given(st.binary(max_size=30))
def test_strings_are_coded_as_hpack_codes_them(text: bytes) -> None:
    """The length in one octet with the mark of Huffman's code, then the code."""
    expected = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    assert huffman(text) == bytes((0x80 | len(expected),)) + expected


def test_a_string_too_long_for_one_octet_is_refused() -> None:
    """The next octet would be needed for its length."""
    with pytest.raises(ValueError, match="127 octets is longer than one octet can say"):
        huffman(b"0" * 203)


def test_a_block_reads_as_envoy_s_does() -> None:
    """What gRPC needs is there, and a decoder that allows no table takes it."""
    decoder = Decoder()
    decoder.max_allowed_table_size = 0
    found = dict(decoder.decode(TABLE_SIZE_0 + next(blocks(changing=False)), raw=True))
    wanted = {b":method": b"POST", b":path": PATH.encode(), b":scheme": b"http", b":authority": b"ratelimit"}
    grpc = {b"te": b"trailers", b"grpc-timeout": b"5S", b"content-type": b"application/grpc"}
    assert found.items() >= {**wanted, **grpc}.items()
    assert len(found[b"traceparent"]) == 55
    assert len(found[b"x-request-id"]) == 36


def test_blocks_change_or_do_not() -> None:
    """Both ids differ from call to call where they are to, and nothing else does."""
    assert len(set(islice(blocks(changing=False), 3))) == 1
    one, two = (dict(Decoder().decode(block, raw=True)) for block in islice(blocks(changing=True), 2))
    assert {name for name in one if one[name] != two[name]} == {b"traceparent", b"x-request-id"}
