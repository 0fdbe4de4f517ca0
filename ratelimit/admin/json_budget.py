"""A budget for JSON that anybody may send: counted before anything is built, and built a piece at a time.

protobuf's JSON reader takes some 6 µs for a value, so 64 KiB of empty objects hold the event loop for 80 ms. Here the
text is counted first, on its bytes and with the strings left out; then its values are read by the C scanner; then the
request is built descriptor by descriptor. Serialised messages may be joined: what follows adds to what came before.
"""

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.service.messages import request_bytes_from_json
from ratelimit.service.wire import DESCRIPTORS_MAX, ENTRIES_MAX

BODY_BYTES_MAX = 64 * 1024
# 64 descriptors of 32 entries have some 7,000 commas and brackets.
STRUCTURE_MAX = 8_192
DEPTH_MAX = 32
COMPRESSED = frozenset(("gzip", "x-gzip", "deflate"))
# Possessive, and an open string goes on to the end: every character is looked at once.
_STRINGS = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = re.compile(r"[\[\]{}]")
_REPEATED = ("descriptors", "entries")


def decompressed(body: bytes, encoding: str) -> bytes:
    """The body without its Content-Encoding, where it has one that can be read; else as it is.

    The reference looks at the body alone: whatever its header says, plain JSON is JSON. Raises RpcError for a body
    that is cut or too large; never inflates a bomb.
    """
    if encoding not in COMPRESSED:
        return body
    # Some clients send `deflate` without zlib's header; 47 takes zlib's and gzip's.
    raw = encoding == "deflate" and body[:1] and body[0] & 15 != zlib.DEFLATED
    decoder = zlib.decompressobj(-zlib.MAX_WBITS if raw else 47)
    try:
        text = decoder.decompress(body, BODY_BYTES_MAX + 1)
    except zlib.error:
        return body
    if len(text) > BODY_BYTES_MAX:
        raise _wrong(f"larger than {BODY_BYTES_MAX} bytes")
    if not decoder.eof:
        raise _wrong(f"the body is not {encoding}: it ends too early")
    return text


def request_pieces(body: bytes) -> Iterator[bytes]:
    """Parts that make a serialised RateLimitRequest when joined, each a millisecond of work. Raises RpcError."""
    value = _read(body)
    descriptors = value.pop("descriptors", [])
    if not isinstance(descriptors, list):
        # Whatever else stands there, protobuf's reader knows what to say of it.
        value["descriptors"], descriptors = descriptors, []
    if len(descriptors) > DESCRIPTORS_MAX:
        raise _wrong(f"{len(descriptors)} descriptors, at most {DESCRIPTORS_MAX} are allowed")
    yield request_bytes_from_json(value)
    for index, descriptor in enumerate(descriptors):
        entries = descriptor.get("entries") if isinstance(descriptor, dict) else None
        if isinstance(entries, list) and len(entries) > ENTRIES_MAX:
            raise _wrong(f"descriptors[{index}]: {len(entries)} entries, at most {ENTRIES_MAX} are allowed")
        try:
            piece = request_bytes_from_json({"descriptors": [descriptor]})
        except RpcError as error:
            details = error.details.replace("descriptors[0]", f"descriptors[{index}]")
            raise RpcError(error.grpc_status, details) from None
        yield piece


def _read(body: bytes) -> dict[str, Any]:
    if len(body) > BODY_BYTES_MAX:
        raise _wrong(f"larger than {BODY_BYTES_MAX} bytes")
    try:
        text = body.decode()
        _count(text)
        value = json.loads(text, object_pairs_hook=_sound_object)
    except ValueError as error:
        raise _wrong(f"not a RateLimitRequest in JSON: {error}") from None
    if not isinstance(value, dict):
        raise _wrong("not a RateLimitRequest in JSON: an object is wanted")
    return value


def _count(text: str) -> None:
    structure = _STRINGS.sub("", text)
    if sum(map(structure.count, ",[{")) > STRUCTURE_MAX:
        raise ValueError(f"more than {STRUCTURE_MAX} values")
    depth = 0
    for bracket in _BRACKETS.findall(structure):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH_MAX:
            raise ValueError(f"deeper than {DEPTH_MAX} levels")


def _sound_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse what protobuf's reader for Python takes and Go's does not. Raises ValueError.

    A field given twice, by both of its names too; an empty list or string where a message belongs; a unit by its
    number in quotes.
    """
    if len({name.replace("_", "").lower() for name, _ in pairs}) != len(pairs):
        raise ValueError("a key is given twice")
    for name, value in pairs:
        inner = value if name in _REPEATED and isinstance(value, list) else (value,) if name == "limit" else ()
        if not all(isinstance(each, dict) or (each is None and name == "limit") for each in inner):
            raise ValueError(f"{name}: an object is wanted")
        if name == "unit" and isinstance(value, str) and not value.isalpha():
            raise ValueError(f"unit: {value!r} is not a unit")
    return dict(pairs)


def _wrong(reason: str) -> RpcError:
    return RpcError(GrpcStatus.INVALID_ARGUMENT, reason)
