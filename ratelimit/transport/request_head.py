"""From header fields to the head of a request, validated (RFC 9113 §8.2 and §8.3).

The fields that HTTP/2 and gRPC look at are few and the same in each call of a client, while tracing fields change with
every call. So what those few mean for a call is worked out once per connection, and kept under them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ratelimit.errors import StreamViolation
from ratelimit.transport.frames import ErrorCode
from ratelimit.transport.grpc import CallHead
from ratelimit.transport.headers import Field

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"(?:[^\x00\r\n \t](?:[^\x00\r\n]*[^\x00\r\n \t])?)?")
_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_CONNECTION = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))
_MEANINGFUL = frozenset(
    (b"te", b"host", b"content-length", b"content-type", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding")
)
# Fields that hold a list, and may come in several pieces (RFC 9110 §5.3).
_LISTS = frozenset((b"grpc-accept-encoding",))
_ORDINARY, _SPECIAL, _IS_PSEUDO = range(3)
_LENGTH_DIGITS_MAX = 15
# What one connection may make us remember: so many pieces, each of so many bytes.
REMEMBERED_MAX = 64
REMEMBERED_BYTES_MAX = 512

Judge = Callable[[Mapping[bytes, bytes]], CallHead]


@dataclass(slots=True)
class RequestHead:
    """A sound head: what it means for a call, the bytes its body must have, its ordinary fields in their order.

    `parent` is trace_fields.py's, where calls are traced.
    """

    call: CallHead
    content_length: int | None
    metadata: tuple[Field, ...] = ()
    parent: Any = None


class RequestHeads:
    """Makes the heads of one connection; `judge` says what the meaningful fields mean for a call."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._kinds: dict[Field, int] = {}
        self._heads: dict[tuple[Field, ...], RequestHead] = {}

    def head(self, fields: list[Field]) -> RequestHead:
        """The head of a request. Raises StreamViolation (PROTOCOL_ERROR) for a malformed one."""
        meaningful: list[Field] = []
        metadata: list[Field] = []
        pseudo_over = False
        for field in fields:
            kind = self._kind(field)
            if kind == _IS_PSEUDO and pseudo_over:
                raise malformed("a pseudo-field after other fields")
            pseudo_over |= kind != _IS_PSEUDO
            (metadata if kind == _ORDINARY else meaningful).append(field)
        key = tuple(meaningful)
        head = self._heads.get(key) or self._remember(key)
        return RequestHead(head.call, head.content_length, tuple(metadata)) if metadata else head

    def check_trailers(self, fields: list[Field]) -> None:
        """Check the trailers of a request, which this service has no use for. Raises StreamViolation."""
        for field in fields:
            if field[0][:1] == b":":
                raise malformed("a pseudo-field in the trailers")
            self._kind(field)

    def _kind(self, field: Field) -> int:
        kind = self._kinds.get(field)
        if kind is None:
            kind = _validate(field)
            if len(field[0]) + len(field[1]) <= REMEMBERED_BYTES_MAX:
                if len(self._kinds) >= REMEMBERED_MAX:
                    self._kinds.clear()
                self._kinds[field] = kind
        return kind

    def _remember(self, key: tuple[Field, ...]) -> RequestHead:
        fields, content_length = _checked(key)
        head = RequestHead(self._judge(fields), content_length)
        if sum(len(name) + len(value) for name, value in key) <= REMEMBERED_BYTES_MAX:
            if len(self._heads) >= REMEMBERED_MAX:
                self._heads.clear()
            self._heads[key] = head
        return head


def is_ordinary(name: bytes) -> bool:
    """Whether a field's value has no meaning for HTTP/2 or gRPC."""
    return name not in _PSEUDO and name not in _MEANINGFUL


def malformed(reason: str) -> StreamViolation:
    """A malformed request (RFC 9113 §8.1.1)."""
    return StreamViolation(ErrorCode.PROTOCOL_ERROR, reason)


def _validate(field: Field) -> int:
    name, value = field
    if not _VALUE.fullmatch(value):
        raise malformed("a field value holds CR, LF or NUL, or begins or ends with a blank")
    if name in _PSEUDO:
        return _IS_PSEUDO
    if not _NAME.fullmatch(name):
        raise malformed("a field name is empty, in upper case or has characters that no name may have")
    if name in _CONNECTION:
        raise malformed("a field of HTTP/1 connections")
    return _SPECIAL if name in _MEANINGFUL else _ORDINARY


def _checked(meaningful: tuple[Field, ...]) -> tuple[dict[bytes, bytes], int | None]:
    """The meaningful fields by name, and the content-length."""
    fields = dict(meaningful)
    single = [name for name, _ in meaningful if name not in _LISTS]
    if len(set(single)) != len(single):
        raise malformed("a field is given twice")
    method = fields.get(b":method", b"")
    if method == b"CONNECT" or not (method and fields.get(b":scheme") and fields.get(b":path")):
        raise malformed(":method, :scheme and :path are wanted")
    if fields.get(b"te", b"trailers").lower() != b"trailers":
        raise malformed("te may only be trailers")
    authority = fields.get(b":authority")
    if authority is not None and fields.get(b"host", authority) != authority:
        raise malformed("host and :authority differ")
    length = fields.get(b"content-length")
    if length is None:
        return fields, None
    if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX:
        raise malformed("content-length is no number")
    return fields, int(length)
