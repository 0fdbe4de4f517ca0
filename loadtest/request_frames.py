"""The requests of a load, as the HTTP/2 frames that carry them, all built before the clock starts.

A header block is what Envoy sends to a server that announced SETTINGS_HEADER_TABLE_SIZE 0: indices of the static table
and literals without indexing, values in Huffman code. Such a block depends on no other, so blocks can be built ahead.
The first of a connection begins with a table-size update to 0, as RFC 7541 §4.2 asks of an encoder whose peer allows no
table; where the peer allows one, that is merely unused.
"""

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2

PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
DOMAIN = "bench"
LIMIT = 1_000_000_000
# `tier` and k0 to k9 are never over their limit, `over` always is.
CONFIG = f"""
domain: {DOMAIN}
descriptors:
  - key: tier
    rate_limit: {{unit: hour, requests_per_unit: {LIMIT}}}
  - key: over
    rate_limit: {{unit: day, requests_per_unit: 1}}
{"".join(f"  - {{key: k{n}, rate_limit: {{unit: hour, requests_per_unit: {LIMIT}}}}}" + chr(10) for n in range(10))}
"""
# What a request of each kind asks: (key, value) of its descriptors; UNIQUE stands for a value that no other has.
UNIQUE = "unique-value-016"
KINDS: dict[str, list[tuple[str, str]]] = {
    "constant": [("tier", "gold")],
    "traced": [("tier", "gold")],
    "unique": [("tier", UNIQUE)],
    "ten": [(f"k{number}", "gold") for number in range(10)],
    "over": [("over", "gold")],
}
TABLE_SIZE_0 = b"\x20"
_CODES = [format(code, f"0{bits}b") for code, bits in zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)]


def request(descriptors: Iterable[tuple[str, str]] = (("tier", "gold"),)) -> bytes:
    """A request with one descriptor of one entry for each (key, value)."""
    message = rls_pb2.RateLimitRequest(domain=DOMAIN)
    for key, value in descriptors:
        entry = ratelimit_pb2.RateLimitDescriptor.Entry(key=key, value=value)
        message.descriptors.append(ratelimit_pb2.RateLimitDescriptor(entries=[entry]))
    return message.SerializeToString()


def framed(message: bytes) -> bytes:
    """The message with gRPC's length prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def messages(kind: str) -> Iterator[bytes]:
    """The messages of a kind, without end. Those with unique values begin at a random number, so no run repeats one."""
    message = request(KINDS[kind])
    if kind != "unique":
        yield from itertools.repeat(message)
    before, _, after = message.partition(UNIQUE.encode())
    for number in itertools.count(random.getrandbits(63)):
        yield b"%b%016x%b" % (before, number, after)


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


def header_block(chance: random.Random) -> bytes:
    """A block with an `x-request-id` and a `traceparent` by `chance`."""
    digits = b"%080x" % chance.getrandbits(320)
    identity = b"-".join((digits[:8], digits[8:12], b"4" + digits[13:16], b"a" + digits[17:20], digits[20:32]))
    traceparent = b"00-%b-%b-01" % (digits[32:64], digits[64:])
    return b"".join((_HEAD, _REQUEST_ID, huffman(identity), _TRACEPARENT, huffman(traceparent), _TAIL))


def blocks(kind: str) -> Iterator[bytes]:
    """The header blocks of a kind, without end: each with fields of its own where it is traced, else always the same."""
    chance = random.Random()
    if kind != "traced":
        yield from itertools.repeat(header_block(chance))
    while True:
        yield header_block(chance)


@dataclass(slots=True)
class RequestFrames:
    """All requests of one connection in their order, on the streams 1, 3, 5 …"""

    wire: bytes = b""
    # For each request: where it ends on the wire, and how much of the connection's window it and those before it take.
    ends: list[int] = field(default_factory=list)
    window: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ends)


def request_frames(kind: str, requests: int) -> RequestFrames:
    """So many requests of a kind: HEADERS, and DATA with END_STREAM."""
    parts, result, at, window, first = [], RequestFrames(), 0, 0, TABLE_SIZE_0
    for number, block, message in zip(range(requests), blocks(kind), messages(kind), strict=False):
        stream, size = (2 * number + 1).to_bytes(4, "big"), len(message) + 5
        block_size = (len(first) + len(block)).to_bytes(3, "big")
        head = b"%b\x01\x04%b%b%b" % (block_size, stream, first, block)
        data = b"%b\x00\x01%b%b" % (size.to_bytes(3, "big"), stream, framed(message))
        parts += (head, data)
        at += len(head) + len(data)
        window += size
        result.ends.append(at)
        result.window.append(window)
        first = b""
    result.wire = b"".join(parts)
    return result
