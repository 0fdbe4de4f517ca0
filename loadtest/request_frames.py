"""The requests of a load, as the HTTP/2 frames that carry them, all built before the clock starts."""

import itertools
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from loadtest.header_blocks import TABLE_SIZE_0, blocks
from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2

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
# What only ours knows: beside CONFIG, and in a file of its own.
OWN_CONFIG = f"""{CONFIG}
  - {{key: sliding, rate_limit: {{unit: hour, requests_per_unit: {LIMIT}, algorithm: sliding_window}}}}
  - {{key: gcra, rate_limit: {{unit: hour, requests_per_unit: {LIMIT}, algorithm: gcra}}}}
"""
TOGETHER_CONFIG = CONFIG.replace(f"domain: {DOMAIN}", "domain: together\nall_or_nothing: true")
# What a request of each kind asks: (key, value) of its descriptors; UNIQUE stands for a value that no other has.
UNIQUE = "unique-value-016"
KINDS: dict[str, list[tuple[str, str]]] = {
    "constant": [("tier", "gold")],
    "traced": [("tier", "gold")],
    "unique": [("tier", UNIQUE)],
    "ten": [(f"k{number}", "gold") for number in range(10)],
    "over": [("over", "gold")],
    "1,000 keys": [("tier", UNIQUE)],
    "10,000 keys": [("tier", UNIQUE)],
}
OWN_KINDS: dict[str, list[tuple[str, str]]] = {
    "sliding": [("sliding", "gold")],
    "gcra": [("gcra", "gold")],
    "three": [(f"k{number}", "gold") for number in range(3)],
    "together": [(f"k{number}", "gold") for number in range(3)],
}
# Of how many values those kinds take one at random.
MIXED = {"1,000 keys": 1_000, "10,000 keys": 10_000}


def request(descriptors: Iterable[tuple[str, str]] = (("tier", "gold"),), domain: str = DOMAIN) -> bytes:
    """A request with one descriptor of one entry for each (key, value)."""
    message = rls_pb2.RateLimitRequest(domain=domain)
    for key, value in descriptors:
        entry = ratelimit_pb2.RateLimitDescriptor.Entry(key=key, value=value)
        message.descriptors.append(ratelimit_pb2.RateLimitDescriptor(entries=[entry]))
    return message.SerializeToString()


def framed(message: bytes) -> bytes:
    """The message with gRPC's length prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def messages(kind: str) -> Iterator[bytes]:
    """The messages of a kind, without end. Those with unique values begin at a random number, so no run repeats one."""
    message = request({**KINDS, **OWN_KINDS}[kind], "together" if kind == "together" else DOMAIN)
    before, found, after = message.partition(UNIQUE.encode())
    if not found:
        yield from itertools.repeat(message)
    values = MIXED.get(kind)
    numbers = map(random.randrange, itertools.repeat(values)) if values else itertools.count(random.getrandbits(63))
    for number in numbers:
        yield b"%b%016x%b" % (before, number, after)


@dataclass(slots=True)
class RequestFrames:
    """All requests of one connection in their order, on the streams 1, 3, 5 and so on."""

    wire: bytes = b""
    # For each request: where it ends on the wire, and how much of the connection's window it and those before it take.
    ends: list[int] = field(default_factory=list)
    window: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ends)


def request_frames(kind: str, requests: int) -> RequestFrames:
    """So many requests of a kind."""
    return frames_of(itertools.islice(messages(kind), requests), changing=kind == "traced")


def frames_of(requests: Iterable[bytes], *, changing: bool = False) -> RequestFrames:
    """Serialised requests as HEADERS, and DATA with END_STREAM; `changing` gives each a header block of its own."""
    parts: list[bytes] = []
    result, at, window, first = RequestFrames(), 0, 0, TABLE_SIZE_0
    for number, (message, block) in enumerate(zip(requests, blocks(changing=changing), strict=False)):
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
