"""RFC 9113, section 8: which requests are well-formed; malformed ones end their stream, and nothing else."""

import pytest
from h2.errors import ErrorCodes

from tests.wire import frames
from tests.wire.client import WireClient
from tests.wire.conformance import BODY, OPEN, Answered, Case, Expected, StreamError, hold, table
from tests.wire.frames import Field, call_fields, data, headers
from tests.wire.served import ECHO

PROTOCOL = ErrorCodes.PROTOCOL_ERROR
FIELDS = dict(call_fields(ECHO))


def request(*fields: Field) -> bytes:
    """A request of just these fields, with a whole message."""
    return headers(1, frames.block(fields)) + data(1, BODY, end=True)


def changed(**values: bytes | None) -> bytes:
    """A call with other values of its pseudo-fields, or without them: `path=None`."""
    given = {b":" + name.encode(): value for name, value in values.items()}
    fields = {**FIELDS, **given}
    return request(*((name, value) for name, value in fields.items() if value is not None))


def more(*fields: Field) -> bytes:
    """A call with more fields."""
    return request(*call_fields(ECHO, *fields))


def malformed(rule: str, sent: bytes) -> Case:
    """A request that must not be served."""
    return Case(rule, sent, StreamError(PROTOCOL))


def well_formed(rule: str, sent: bytes, expected: Expected | None = None) -> Case:
    """A request that must be served."""
    return Case(rule, sent, expected or Answered())


TRAILER = frames.block([(b"x-trailer", b"1")])
TWO_PIECES = data(1, BODY[:2]) + data(1, BODY[2:], end=True)

EXCHANGES = table(
    well_formed("8.1 trailers", OPEN + data(1, BODY) + headers(1, TRAILER, end=True)),
    malformed("8.1 a second HEADERS that does not end the stream", OPEN + headers(1, TRAILER)),
    malformed("8.1 trailers with a pseudo-field", OPEN + headers(1, frames.block([(b":method", b"POST")]), end=True)),
    malformed("8.1 trailers in upper case", OPEN + headers(1, frames.block([(b"X-Trailer", b"1")]), end=True)),
    well_formed(
        "8.1 trailers that look like a field of gRPC",
        OPEN + data(1, BODY) + headers(1, frames.block([(b"te", b"trailers")]), end=True),
    ),
)

NAMES = table(
    malformed("8.2.1 in upper case", more((b"X-Test", b"1"))),
    malformed("8.2.1 in upper case at its end", more((b"x-tesT", b"1"))),
    malformed("8.2.1 empty", more((b"", b"1"))),
    *(
        malformed(f"8.2.1 with {name}", more((b"x-%bx" % sign, b"1")))
        for name, sign in {
            "NUL": b"\0",
            "CR": b"\r",
            "LF": b"\n",
            "a blank": b" ",
            "a colon": b":",
            "0x7f": b"\x7f",
            "0xff": b"\xff",
        }.items()
    ),
    well_formed("8.2.1 with every sign of a token", more((b"!#$%&'*+-.^_`|~09az", b"1"))),
)

VALUES = table(
    *(
        malformed(f"8.2.1 {name}", more((b"x-test", value)))
        for name, value in {
            "NUL": b"a\0b",
            "CR": b"a\rb",
            "LF": b"a\nb",
            "a blank before": b" a",
            "a blank after": b"a ",
            "a tab before": b"\ta",
            "a tab after": b"a\t",
            "nothing but a blank": b" ",
        }.items()
    ),
    malformed("8.2.1 LF in :path", changed(path=b"/a\nb")),
    malformed("8.2.1 CR in :authority", changed(authority=b"a\rb")),
    well_formed("8.2.1 empty", more((b"x-test", b""))),
    well_formed("8.2.1 blanks within", more((b"x-test", b"a b\tc"))),
    well_formed("8.2.1 bytes above 0x7f", more((b"x-test", "Grüße".encode()))),
)

CONNECTION_FIELDS = table(
    malformed("8.2.2 connection", more((b"connection", b"keep-alive"))),
    malformed("8.2.2 keep-alive", more((b"keep-alive", b"5"))),
    malformed("8.2.2 proxy-connection", more((b"proxy-connection", b"keep-alive"))),
    malformed("8.2.2 transfer-encoding", more((b"transfer-encoding", b"chunked"))),
    malformed("8.2.2 upgrade", more((b"upgrade", b"h2c"))),
    malformed("8.2.2 te other than trailers", request(*{**FIELDS, b"te": b"gzip"}.items())),
    malformed("8.2.2 te with more than trailers", request(*{**FIELDS, b"te": b"trailers, deflate;q=0.5"}.items())),
    well_formed("8.2.3 cookies in pieces", more((b"cookie", b"a=b"), (b"cookie", b"c=d"))),
)

PSEUDO_FIELDS = table(
    malformed("8.3 unknown", more((b":test", b"1"))),
    malformed("8.3 of a response", more((b":status", b"200"))),
    malformed("8.3 after other fields", request(*list(FIELDS.items())[1:], (b":method", b"POST"))),
    *(malformed(f"8.3.1 no :{name}", changed(**{name: None})) for name in ("method", "scheme", "path")),
    *(malformed(f"8.3.1 empty :{name}", changed(**{name: b""})) for name in ("method", "path")),
    *(
        malformed(f"8.3.1 two :{name}", request((b":" + name.encode(), FIELDS[b":" + name.encode()]), *FIELDS.items()))
        for name in ("method", "scheme", "path", "authority")
    ),
    malformed("8.3.1 two paths that differ", request((b":path", b"/other"), *FIELDS.items())),
    malformed("8.3.1 host and :authority differ", more((b"host", b"elsewhere"))),
    malformed("8.3.1 two hosts", more((b"host", b"localhost"), (b"host", b"elsewhere"))),
    well_formed("8.3.1 host as :authority", more((b"host", b"localhost"))),
    well_formed(
        "8.3.1 host without :authority",
        request(*((n, v) for n, v in FIELDS.items() if n != b":authority"), (b"host", b"here")),
    ),
    well_formed("8.3.1 no :authority", changed(authority=None)),
    well_formed("8.3.1 https", changed(scheme=b"https")),
)


def sized(size: bytes) -> bytes:
    """HEADERS with a content-length."""
    return headers(1, frames.block(call_fields(ECHO, (b"content-length", size))))


RIGHT = b"%d" % len(BODY)
LENGTHS = table(
    well_formed("8.1.1 content-length as it is", sized(RIGHT) + data(1, BODY, end=True)),
    well_formed("8.1.1 content-length of the sum", sized(RIGHT) + TWO_PIECES),
    well_formed("8.1.1 padding does not count", sized(RIGHT) + data(1, BODY, end=True, pad=9)),
    well_formed("8.1.1 with trailers", sized(RIGHT) + data(1, BODY) + headers(1, TRAILER, end=True)),
    malformed("8.1.1 less than content-length", sized(b"100") + data(1, BODY, end=True)),
    malformed("8.1.1 less in two pieces", sized(b"100") + TWO_PIECES),
    malformed("8.1.1 less before trailers", sized(b"100") + data(1, BODY) + headers(1, TRAILER, end=True)),
    malformed("8.1.1 more than content-length", sized(b"1") + data(1, BODY, end=True)),
    malformed("8.1.1 more in two pieces", sized(b"3") + TWO_PIECES),
    malformed("8.1.1 more before the end", sized(b"3") + data(1, BODY)),
    malformed("8.1.1 no body", headers(1, frames.block(call_fields(ECHO, (b"content-length", b"6"))), end=True)),
    malformed("8.1.1 two that differ", more((b"content-length", RIGHT), (b"content-length", b"7"))),
    *(
        malformed(f"8.1.1 {size.decode()!r}", more((b"content-length", size)))
        for size in (b"-6", b"+6", b"6x", b"", b"6,6", b"9" * 30)
    ),
)


@EXCHANGES
async def test_an_exchange_is_headers_data_and_trailers(client: WireClient, case: Case) -> None:
    """Section 8.1."""
    await hold(case, client)


@NAMES
async def test_field_names(client: WireClient, case: Case) -> None:
    """Section 8.2.1: tokens in lower case."""
    await hold(case, client)


@VALUES
async def test_field_values(client: WireClient, case: Case) -> None:
    """Section 8.2.1: nothing that would end a line of HTTP/1, and no blanks around."""
    await hold(case, client)


@CONNECTION_FIELDS
async def test_fields_of_a_connection(client: WireClient, case: Case) -> None:
    """Sections 8.2.2 and 8.2.3."""
    await hold(case, client)


@PSEUDO_FIELDS
async def test_pseudo_fields(client: WireClient, case: Case) -> None:
    """Section 8.3."""
    await hold(case, client)


@LENGTHS
async def test_content_length(client: WireClient, case: Case) -> None:
    """Section 8.1.1: it is the length of the body, and said once."""
    await hold(case, client)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT", b"OPTIONS", b"BREW"])
async def test_requests_that_are_no_calls_are_answered_as_http(client: WireClient, method: bytes) -> None:
    """A method that is not POST: 405, as HTTP has it, once the request has ended; to HEAD without a body."""
    fields = [(b":method", method), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"localhost")]
    await client.send(headers(1, frames.block(fields), end=True))
    reply = await client.answered(1)
    assert (reply.status, reply.grpc_status, reply.reset) == (405, None, None)
    assert len(reply.data) == (0 if method == b"HEAD" else 29)
    await client.alive()


@pytest.mark.parametrize("content_type", [b"text/plain", b"application/grpcx", b"application/json", None])
async def test_a_content_type_that_is_no_grpc_is_answered_as_http(
    client: WireClient, content_type: bytes | None
) -> None:
    """415, as the protocol of gRPC asks for."""
    fields = [(name, value) for name, value in FIELDS.items() if name != b"content-type"]
    await client.send(request(*fields, *([(b"content-type", content_type)] if content_type else [])))
    reply = await client.answered(1)
    assert (reply.status, reply.grpc_status, reply.reset) == (415, None, None)


@pytest.mark.parametrize("content_type", [b"application/grpc+proto", b"application/grpc;charset=utf-8"])
async def test_content_types_of_grpc(client: WireClient, content_type: bytes) -> None:
    """A codec behind + and parameters behind ; are allowed."""
    await client.send(request(*{**FIELDS, b"content-type": content_type}.items()))
    await Answered().check(client)
