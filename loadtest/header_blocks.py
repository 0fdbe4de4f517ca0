"""The header blocks of a load: what Envoy sends to a server that announced SETTINGS_HEADER_TABLE_SIZE 0.

They hold indices of the static table and literals without indexing, strings in Huffman code, so no block depends on
another and they can be built ahead. The first of a connection begins with a table-size update to 0, as RFC 7541 §4.2
asks of an encoder whose peer allows no table; where the peer allows one, that is merely unused.
"""

import itertools
import random
from collections.abc import Iterator

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
TABLE_SIZE_0 = b"\x20"
# The part of calls that an Envoy traces, where their blocks change.
SAMPLED = 0.01
_CODES = [format(code, f"0{bits}b") for code, bits in zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)]


def huffman(text: bytes) -> bytes:
    """A string of a header block, Huffman-coded (RFC 7541 §5.2); below 127 octets, so that one says its length."""
    bits = "".join([_CODES[octet] for octet in text])
    bits += "1" * (-len(bits) % 8)
    octets = len(bits) // 8
    if octets >= 127:
        raise ValueError(f"a header string of {octets} octets is longer than one octet can say")
    return bytes((0x80 | octets,)) + int(bits or "0", 2).to_bytes(octets, "big")


def literal(name: bytes, value: bytes) -> bytes:
    """A field without indexing whose name is spelled out."""
    return b"\0" + huffman(name) + huffman(value)


# 0x83 and 0x86: `:method POST` and `:scheme http`. 0x04, 0x01, 0x0f10: literals named by the static table (`:path`,
# `:authority`, `content-type`).
_HEAD = b"".join(
    (
        b"\x83",
        b"\x04" + huffman(PATH.encode()),
        b"\x01" + huffman(b"ratelimit"),
        b"\x86",
        literal(b"te", b"trailers"),
        literal(b"grpc-timeout", b"5S"),
        b"\x0f\x10" + huffman(b"application/grpc"),
        literal(b"x-envoy-internal", b"true"),
        literal(b"x-forwarded-for", b"10.244.1.17"),
    )
)
_REQUEST_ID = b"\0" + huffman(b"x-request-id")
_TRACEPARENT = b"\0" + huffman(b"traceparent")
_TAIL = literal(b"x-envoy-expected-rq-timeout-ms", b"5000")


def header_block(chance: random.Random, sampled: float = 0.0) -> bytes:
    """A block with an `x-request-id` and a `traceparent` by `chance`; of the latter the part `sampled` is traced."""
    digits = b"%080x" % chance.getrandbits(320)
    identity = b"-".join((digits[:8], digits[8:12], b"4" + digits[13:16], b"a" + digits[17:20], digits[20:32]))
    traceparent = b"00-%b-%b-0%d" % (digits[32:64], digits[64:], chance.random() < sampled)
    return b"".join((_HEAD, _REQUEST_ID, huffman(identity), _TRACEPARENT, huffman(traceparent), _TAIL))


def blocks(*, changing: bool) -> Iterator[bytes]:
    """Header blocks without end: each with an id of its own where they are changing, else always the same."""
    chance = random.Random()
    if not changing:
        yield from itertools.repeat(header_block(chance))
    while True:
        yield header_block(chance, SAMPLED)
