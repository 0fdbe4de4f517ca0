"""RFC 7541: every way to write a header field is read, and what cannot be read ends the connection."""

from h2.errors import ErrorCodes
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from tests.wire import frames
from tests.wire.client import WireClient
from tests.wire.conformance import BLOCK, BODY, CALL, Answered, Case, Ended, Fatal, hold, table
from tests.wire.frames import call_fields, data, headers, literal, string
from tests.wire.served import ECHO

COMPRESSION = ErrorCodes.COMPRESSION_ERROR
CALM = ErrorCodes.ENHANCE_YOUR_CALM
END_OF_BODY = data(1, BODY, end=True)
USER_AGENT = 58  # in the static table


def call(block: bytes, stream: int = 1) -> bytes:
    """A whole call with any block."""
    return headers(stream, block) + data(stream, BODY, end=True)


def huffman(text: bytes) -> bytes:
    """A string literal with Huffman coding."""
    coded = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(text)
    return bytes((0x80 | len(coded),)) + coded


def indexed_name(first: int, mask: int, value: bytes, name: int = USER_AGENT) -> bytes:
    """A literal whose name stands in the table; `first` says of which kind."""
    index = bytes((first | name,)) if name < mask else bytes((first | mask, name - mask))
    return index + value


# RFC 7541, section 6: the kinds of literals by their first bits, and how many bits their index has.
KINDS = {"indexed": (0x40, 0x3F), "not indexed": (0x00, 0x0F), "never indexed": (0x10, 0x0F)}
STATIC = bytes((0x83, 0x86)) + frames.block(
    [field for field in call_fields(ECHO) if field[0] not in {b":method", b":scheme"}]
)
UPDATE_0, UPDATE_4096, UPDATE_4097 = b"\x20", b"\x3f\xe1\x1f", b"\x3f\xe2\x1f"
LATER = frames.block(call_fields(ECHO))

REPRESENTATIONS = table(
    Case("6.1 indexed", call(STATIC), Answered()),
    *(
        Case(
            f"6.2 {kind}, {'new' if new else 'known'} name, {'Huffman' if coded else 'plain'}",
            call(BLOCK + text),
            Answered(),
        )
        for kind, (first, mask) in KINDS.items()
        for new in (False, True)
        for coded in (False, True)
        for text in [
            bytes((first,)) + (huffman if coded else string)(b"x-test") + (huffman if coded else string)(b"value")
            if new
            else indexed_name(first, mask, (huffman if coded else string)(b"value"))
        ]
    ),
    Case(
        "5.1 an integer in more bytes than it needs",
        call(BLOCK + b"\x00\x7f\x80\x80\x00" + b"x" * 127 + b"\x00"),
        Answered(),
    ),
    Case("6.3 a size update to 0", call(UPDATE_0 + BLOCK), Answered()),
    Case("6.3 two size updates", call(UPDATE_0 * 2 + BLOCK), Answered()),
)


@REPRESENTATIONS
async def test_every_representation_is_read(client: WireClient, case: Case) -> None:
    """Sections 5 and 6: literals of each kind, with names known and new, plain and Huffman; and size updates."""
    await hold(case, client)


# A string of '0' alone: its code has 5 bits, so 3 bits of padding follow, which must be ones (section 5.2).
PADDED_BY_ZERO = bytes((0x00,)) + string(b"x-test") + b"\x81\x00"
PADDED_BY_A_BYTE = bytes((0x00,)) + string(b"x-test") + b"\x82\x07\xff"
EOS = bytes((0x00,)) + string(b"x-test") + b"\x84\xff\xff\xff\xff"

BROKEN = table(
    Case("2.3.3 an index beyond both tables", headers(1, BLOCK + b"\xc6"), Fatal(COMPRESSION)),
    Case("2.3.3 a name beyond both tables", headers(1, BLOCK + b"\x7f\x07\x01x"), Fatal(COMPRESSION)),
    Case("6.1 index 0", headers(1, BLOCK + b"\x80"), Fatal(COMPRESSION)),
    Case("4.2 a size update at the end", headers(1, BLOCK + UPDATE_0), Fatal(COMPRESSION)),
    Case("4.2 a size update within", headers(1, BLOCK[:9] + UPDATE_0 + BLOCK[9:]), Fatal(COMPRESSION)),
    Case("4.2 three size updates", headers(1, UPDATE_0 * 3 + BLOCK), Fatal(COMPRESSION)),
    Case("6.3 a size update above what was announced", headers(1, UPDATE_4097 + BLOCK), Fatal(COMPRESSION)),
    Case("6.3 a size update far above", headers(1, b"\x3f" + b"\xff" * 4 + b"\x0f" + BLOCK), Fatal(COMPRESSION)),
    Case("5.1 an integer without an end", headers(1, b"\x3f" + b"\xff" * 40), Fatal(COMPRESSION)),
    Case(
        "5.1 an integer of zeros without an end", headers(1, b"\x00\x7f" + b"\x80" * 100 + b"\x00"), Fatal(COMPRESSION)
    ),
    Case("5.1 a block that ends within an integer", headers(1, BLOCK + b"\x3f\xff"), Fatal(COMPRESSION)),
    Case("5.2 a string that is longer than its block", headers(1, BLOCK + b"\x00\x05x"), Fatal(COMPRESSION)),
    Case("5.2 a value that is missing", headers(1, BLOCK + b"\x00\x01x"), Fatal(COMPRESSION)),
    Case("5.2 padding by zeros", headers(1, BLOCK + PADDED_BY_ZERO), Fatal(COMPRESSION)),
    Case("5.2 padding of more than 7 bits", headers(1, BLOCK + PADDED_BY_A_BYTE), Fatal(COMPRESSION)),
    Case("5.2 EOS", headers(1, BLOCK + EOS), Fatal(COMPRESSION)),
    Case(
        "a broken block of a stream that is over", (CALL, Ended(1), headers(1, b"\x80", end=True)), Fatal(COMPRESSION)
    ),
    Case("a broken block of trailers", headers(1, BLOCK) + headers(1, b"\x80", end=True), Fatal(COMPRESSION)),
    Case("more fields than are allowed", headers(1, BLOCK + literal(b"a", b"") * 101), Fatal(CALM)),
)


@BROKEN
async def test_what_cannot_be_read_ends_the_connection(client: WireClient, case: Case) -> None:
    """RFC 9113, section 4.3: both tables are out of step then, so no later block could be read."""
    await hold(case, client)


async def test_the_table_of_the_first_moments_is_kept(unopened: WireClient) -> None:
    """Before it reads HEADER_TABLE_SIZE 0, a client counts on 4,096 bytes: what it put into the table is there."""
    indexed = b"".join(literal(name, value, first=0x40) for name, value in call_fields(ECHO))
    # The latest entry is 62: six fields are 67 to 62.
    again = bytes(range(0x80 | 67, 0x80 | 61, -1))
    await unopened.send(frames.PREFACE, frames.settings(), call(indexed), call(again, 3), call(UPDATE_4096 + again, 5))
    await Answered(1, 3).check(unopened)


async def test_a_table_that_was_made_smaller_forgets(unopened: WireClient) -> None:
    """Section 4.3: a size update evicts, and an index of what is gone is an error."""
    indexed = b"".join(literal(name, value, first=0x40) for name, value in call_fields(ECHO))
    await unopened.send(frames.PREFACE, frames.settings(), call(indexed), headers(3, UPDATE_0 + b"\xbe"))
    assert (await unopened.ending()).code == COMPRESSION


async def test_blocks_of_streams_that_are_refused_are_decoded(unopened: WireClient) -> None:
    """RFC 9113, section 4.3: a malformed request still changes the table that the next one counts on."""
    wrong = literal(b"UPPER", b"1") + literal(b":path", ECHO, first=0x40)
    rest = [field for field in call_fields(ECHO) if field[0] != b":path"]
    await unopened.send(frames.PREFACE, frames.settings(), headers(1, wrong, end=True))
    await unopened.send(call(b"\xbe" + frames.block(rest), 3))
    assert await unopened.reset(1) == ErrorCodes.PROTOCOL_ERROR
    assert (await unopened.answered(3)).grpc_status == 0
