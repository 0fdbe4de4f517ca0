"""Header blocks, the receiving side (RFC 7541): looked over first, decoded by the `hpack` library then.

The first look costs little, decodes nothing, and bounds what the library is given: the block's bytes, its fields, the
table size updates, every integer. It also tells what the memo of blocks must know: where each value's text stands, and
whether the block means the same at any time. An aborted decode leaves the peer's table and ours out of step, so each
error here ends the connection (RFC 9113 §4.3). What we send needs no encoder: constants, and literals without indexing.
"""

from dataclasses import dataclass

from hpack import Decoder, HPACKError
from hpack.table import HeaderTable

from ratelimit.errors import ConnectionViolation
from ratelimit.transport.frames import ErrorCode

TABLE_BYTES_MAX = 4096
SIZE_UPDATES_MAX = 2
INTEGER_MAX = 2**31 - 1
STATIC_FIELDS = len(HeaderTable.STATIC_TABLE)
NO_TEXT = (0, 0)

Field = tuple[bytes, bytes]


@dataclass(slots=True)
class HeaderBlock:
    """A decoded block.

    `texts` tells for each field where its value stands in the block, length and all, as (start, end); NO_TEXT for a
    field that is an index as a whole. `reads_table` and `changes_table` are about the dynamic table.
    """

    fields: list[Field]
    texts: list[tuple[int, int]]
    reads_table: bool = False
    changes_table: bool = False


class HeaderDecoder:
    """The decoder of one connection. `table_bytes_max` is what a size update may ask for."""

    def __init__(self, list_bytes_max: int, fields_max: int) -> None:
        self._fields_max = fields_max
        self._decoder = Decoder(max_header_list_size=list_bytes_max)
        self.table_bytes_max = TABLE_BYTES_MAX

    def decode(self, block: bytes) -> HeaderBlock:
        """Decode one whole block. Raises ConnectionViolation, after which nothing can be decoded."""
        try:
            decoded = self._looked_over(block)
        except IndexError:
            raise _broken("the header block ends within a field") from None
        try:
            decoded.fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except HPACKError as error:
            raise _broken(str(error)) from None
        return decoded

    def _looked_over(self, block: bytes) -> HeaderBlock:
        found = HeaderBlock([], [])
        texts, position, end, updates = found.texts, 0, len(block), 0
        while position < end:
            first = block[position]
            if first & 0xE0 == 0x20:
                size, position = _integer(block, position, 0x1F)
                updates += 1
                if texts or updates > SIZE_UPDATES_MAX or size > self.table_bytes_max:
                    raise _broken("a table size update out of its place, or above what is allowed")
                found.changes_table = True
                continue
            mask = 0x7F if first & 0x80 else 0x3F if first & 0x40 else 0x0F
            index, position = _integer(block, position, mask)
            found.reads_table |= index > STATIC_FIELDS
            if first & 0x80:
                texts.append(NO_TEXT)
            else:
                found.changes_table |= bool(first & 0x40)
                if not index:
                    position = _after_text(block, position)
                start, position = position, _after_text(block, position)
                texts.append((start, position))
            if len(texts) > self._fields_max:
                raise ConnectionViolation(ErrorCode.ENHANCE_YOUR_CALM, "too many header fields")
        if position != end:
            raise _broken("a text is longer than its header block")
        return found


def _integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    """An integer whose first octet holds the bits of `mask` (RFC 7541 §5.1), and where it ends."""
    value = block[position] & mask
    position += 1
    if value < mask:
        return value, position
    shift = 0
    while True:
        octet = block[position]
        position += 1
        value += (octet & 0x7F) << shift
        if value > INTEGER_MAX or shift > 28:
            raise _broken("an integer is too large")
        if octet < 0x80:
            return value, position
        shift += 7


def _after_text(block: bytes, position: int) -> int:
    length, position = _integer(block, position, 0x7F)
    return position + length


def _broken(reason: str) -> ConnectionViolation:
    return ConnectionViolation(ErrorCode.COMPRESSION_ERROR, reason)
