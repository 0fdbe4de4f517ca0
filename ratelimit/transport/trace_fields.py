"""What the tracing fields of a call say: W3C's traceparent and tracestate, and B3 in one field or in several.

Only calls whose caller traces them are looked at closely, and that must be told cheaply: blocks that a template knows
are not decoded (block_memo.py). So the memo of a traced connection looks for the one field that decides, and at how it
ends: nearly always as that of a call that is not traced. Of all others the tracing fields are decoded.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpack import HPACKError
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman

from ratelimit.transport.block_memo import SHORT_MAX, BlockMemo, Template
from ratelimit.transport.headers import Field, HeaderBlock
from ratelimit.transport.request_head import RequestHead

TRACEPARENT, B3, B3_SAMPLED = b"traceparent", b"b3", b"x-b3-sampled"
_B3_FLAGS, _B3_TRACE, _B3_SPAN = b"x-b3-flags", b"x-b3-traceid", b"x-b3-spanid"
TRACE_FIELDS = frozenset(
    (TRACEPARENT, b"tracestate", B3, B3_SAMPLED, _B3_FLAGS, _B3_TRACE, _B3_SPAN, b"x-b3-parentspanid")
)
_W3C = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(?:-.*)?")
_ONE_B3 = re.compile(rb"(?:[0-9a-f]{16}|[0-9a-f]{32})-[0-9a-f]{16}(?:-([01d])(?:-[0-9a-f]{16})?)?")
_IDS = re.compile(rb"[0-9a-f]{16}|[0-9a-f]{32}"), re.compile(rb"[0-9a-f]{16}")
_SAMPLED = frozenset((b"1", b"true", b"d"))


@dataclass(frozen=True, slots=True, eq=False)
class Parent:
    """The span that called: the tracing fields for a library to read. Without fields: it is not traced.

    Told apart by what they are, not by what they hold: sampling counts them for each call.
    `coded` says that the values stand as in a header block, their length before them: whoever reads them decodes them.
    """

    fields: tuple[Field, ...] = ()
    coded: bool = False

    def decoded(self) -> tuple[Field, ...]:
        """The fields as texts; a broken one is empty."""
        return tuple((name, _text(value)) for name, value in self.fields) if self.coded else self.fields


UNSAMPLED = Parent()
"""Stands for every parent that is not traced."""


@dataclass(slots=True)
class Caller:
    """What a transport without heads of its own knows of a call."""

    parent: Parent | None


def parent_of(fields: Iterable[Field]) -> Parent | None:
    """The parent that header fields tell of, None for none. B3 goes before W3C, as in the reference."""
    found = tuple(field for field in fields if field[0] in TRACE_FIELDS)
    named = dict(found)
    sampled = _b3(named)
    if sampled is None:
        w3c = _W3C.fullmatch(named.get(TRACEPARENT, b""))
        sampled = bool(int(w3c[1], 16) & 1) if w3c else None
    if sampled is None:
        return None
    return Parent(found) if sampled else UNSAMPLED


def _b3(named: dict[bytes, bytes]) -> bool | None:
    """Whether the fields of B3 say that the call is traced; None without any, or where they are broken."""
    one = named.get(B3)
    if one is not None:
        if one == b"0":
            return False
        found = _ONE_B3.fullmatch(one)
        if found:
            return found[1] in _SAMPLED
    if all(pattern.fullmatch(named.get(name, b"")) for pattern, name in zip(_IDS, (_B3_TRACE, _B3_SPAN), strict=True)):
        return named.get(_B3_FLAGS) == b"1" or named.get(B3_SAMPLED, b"").lower() in _SAMPLED
    return None


def read_parent(head: RequestHead) -> RequestHead:
    """The head of a block that was decoded, with its parent."""
    head.parent = parent_of(head.metadata)
    return head


class TracedTemplate(Template):
    """A template whose heads tell the parents of their calls.

    `before` and `after` are the parts around the text that decides; where no text does, all blocks are as the first.
    `written` is how the tracing fields stand in the block.
    """

    __slots__ = ("_after", "_before", "_decides", "_not_sampled", "_written")

    def __init__(self, block: bytes, texts: Sequence[tuple[int, int]], decoded: HeaderBlock) -> None:
        super().__init__(block, texts)
        names = [name for name, _ in decoded.fields]
        deciding = next((name for name in (B3, B3_SAMPLED, TRACEPARENT) if name in names), b"")
        place = decoded.texts[names.index(deciding)] if deciding else None
        self._decides = place in texts
        number = texts.index(place) if place in texts else 0
        self._before, self._after = self.parts[:number], self.parts[number:]
        self._not_sampled = _NOT_SAMPLED[deciding if self._decides else b""]
        self._written = [(name, way) for name in TRACE_FIELDS.intersection(names) for way in _ways(name, block)]

    def keep(self, end: bytes, head: RequestHead) -> None:
        if self._decides and head.parent is not None:
            head = RequestHead(head.call, head.content_length, head.metadata, UNSAMPLED)
        super().keep(end, head)

    def match(self, data: bytes, start: int, end: int) -> RequestHead | None:  # noqa: PLR0911 - as the other one
        """As `Template.match`, with a look at the end of the text that decides. `make bench` earns its being twice."""
        first = self.first
        if not data.startswith(first, start):
            return None
        at = start + len(first)
        try:
            for part in self._before:
                size = data[at] & 0x7F
                at += size + 1
                if size > SHORT_MAX or not data.startswith(part, at):
                    return None
                at += len(part)
            decides = at + (data[at] & 0x7F) + 1
            for part in self._after:
                size = data[at] & 0x7F
                at += size + 1
                if size > SHORT_MAX or not data.startswith(part, at):
                    return None
                at += len(part)
            size = data[at] & 0x7F
        except IndexError:
            return None
        at += size + 1
        if size > SHORT_MAX or at > end:
            return None
        head = self.heads.get(data[at:end])
        if head is None or data[decides - 3 : decides] in self._not_sampled:
            return head
        if head.parent is None or (head.parent is UNSAMPLED and not self._decides):
            return head
        return self._with_parent(head, data, start, end)

    def _with_parent(self, head: RequestHead, data: bytes, start: int, end: int) -> RequestHead:
        parent: Parent | None = Parent(tuple(self._read(data, start, end)), coded=True)
        if not self._not_sampled and parent is not None:
            parent = parent_of(parent.decoded())
        return head if parent is UNSAMPLED else RequestHead(head.call, head.content_length, (), parent)

    def _read(self, data: bytes, start: int, end: int) -> Iterator[Field]:
        """The tracing fields of a block, and nothing else of it, as they stand there: decoding would cost most."""
        for name, way in self._written:
            at = data.find(way, start, end) + len(way)
            yield name, data[at : at + 1 + (data[at] & 0x7F)]


class TracedMemo(BlockMemo):
    """The blocks of a connection whose calls are traced: each head tells the parent of its call."""

    def template_of(self, block: bytes, texts: Sequence[tuple[int, int]], decoded: HeaderBlock) -> Template:
        return TracedTemplate(block, texts, decoded)


def _text(value: bytes) -> bytes:
    """The text of a value of a header block, its length before it."""
    try:
        return bytes(decode_huffman(value[1:])) if value[:1] >= b"\x80" else value[1:]
    except HPACKError:
        return b""


def _ways(name: bytes, block: bytes) -> list[bytes]:
    return [way for way in _WRITTEN[name] if way in block]


def _coded(text: bytes) -> tuple[int, int]:
    """A text in Huffman's code (RFC 7541 §5.2), before it is filled up: the bits, and how many."""
    bits = length = 0
    for octet in text:
        bits = bits << REQUEST_CODES_LENGTH[octet] | REQUEST_CODES[octet]
        length += REQUEST_CODES_LENGTH[octet]
    return bits, length


def _written(name: bytes) -> tuple[bytes, ...]:
    """A name as a literal of a header block, with its length before it: in Huffman's code, and plainly."""
    bits, length = _coded(name)
    filled = -length % 8
    size = (length + filled) // 8
    coded = bytes((0x80 | size,)) + (((bits + 1) << filled) - 1).to_bytes(size, "big")
    assert decode_huffman(coded[1:]) == name  # noqa: S101 - a table of a library is read
    return coded, bytes((len(name),)) + name


def _ends(text: bytes) -> Iterator[bytes]:
    """The last three bytes of any longer text that ends with `text`, three characters of 16 bits together.

    In Huffman's code these bits may stand in eight places, with the last bits of any character before them.
    """
    yield text
    bits, length = _coded(text)
    for filled in range(8):
        end, known = ((bits + 1) << filled) - 1, length + filled
        for before in range(1 << (24 - known)):
            yield (before << known | end).to_bytes(3, "big")


_WRITTEN = {name: _written(name) for name in TRACE_FIELDS}
# By the field that decides: the last three bytes of one that says no, for x-b3-sampled with the end of its name. A
# single B3 field has no end of its own.
_NOT_SAMPLED: Mapping[bytes, frozenset[bytes]] = {
    TRACEPARENT: frozenset((*_ends(b"-00"), *_ends(b"-02"))),
    B3_SAMPLED: frozenset(way[-1:] + text for way in _WRITTEN[B3_SAMPLED] for text in (b"\x010", b"\x81\x07")),
    B3: frozenset(),
    b"": frozenset(),
}
