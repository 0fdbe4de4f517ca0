"""What is in a serialised RateLimitRequest, counted before anything is built from it.

A message of 4 MiB can hold two million empty descriptors, and making an object of each stops the event loop for
seconds. So the fields of a large message are counted on its bytes first (protobuf wire format: a key, then a varint,
8, 4, or a length and as many bytes), and the count stops at the first that is too many.
"""

from collections.abc import Iterator

from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.limiter import planner

# The bounds of a request in any form, for whoever counts before the planner does.
DESCRIPTORS_MAX, ENTRIES_MAX = planner.DESCRIPTORS_MAX, planner.ENTRIES_MAX

MESSAGE_BYTES_MAX = 512 * 1024
# Below this size a message cannot hold enough fields to be worth counting.
SMALL_BYTES_MAX = 1024
FIELDS_MAX = 128
_DESCRIPTORS, _ENTRIES, _BYTES = 2, 1, 2
_SKIP = {1: 8, 5: 4}


def check_size(message: bytes) -> None:
    """Count what `message` holds. Raises RpcError (INVALID_ARGUMENT), and INTERNAL where it is no protobuf."""
    if len(message) <= SMALL_BYTES_MAX:
        return
    if len(message) > MESSAGE_BYTES_MAX:
        raise _invalid(f"the request has {len(message)} bytes, at most {MESSAGE_BYTES_MAX} are allowed")
    try:
        places = _places(message, 0, len(message), (_DESCRIPTORS, DESCRIPTORS_MAX, "descriptors"))
        for index, (start, end) in enumerate(places):
            _places(message, start, end, (_ENTRIES, ENTRIES_MAX, f"descriptors[{index}]: entries"))
    except (IndexError, KeyError):
        raise RpcError(GrpcStatus.INTERNAL, "not a RateLimitRequest: the message is cut short or garbled") from None


def has_at_most(message: bytes, fields_max: int) -> bool:
    """Whether a message has so many fields beside each other. Raises IndexError or KeyError where it is no protobuf."""
    try:
        for _ in _fields(message, 0, len(message), fields_max):
            pass
    except _TooManyFieldsError:
        return False
    return True


def _places(message: bytes, position: int, end: int, counted: tuple[int, int, str]) -> list[tuple[int, int]]:
    """Where the values of one repeated message field stand. Raises RpcError for too many of it or of all fields."""
    number, most, name = counted
    places: list[tuple[int, int]] = []
    try:
        for field, start, stop in _fields(message, position, end, FIELDS_MAX):
            if field == number:
                places.append((start, stop))
                if len(places) > most:
                    raise _invalid(f"more than {most} {name}, at most {most} are allowed")
    except _TooManyFieldsError:
        raise _invalid(f"more than {FIELDS_MAX} fields beside each other") from None
    return places


def _fields(message: bytes, position: int, end: int, fields_max: int) -> Iterator[tuple[int, int, int]]:
    """Of each field with a length its number, and where its value begins and ends; of each other one three zeros.

    Raises _TooManyFieldsError, and IndexError or KeyError where it is no protobuf.
    """
    fields = 0
    while position < end:
        fields += 1
        if fields > fields_max:
            raise _TooManyFieldsError
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _BYTES:
            size, start = _varint(message, position)
            position = start + size
            yield key >> 3, start, position
            continue
        position = _varint(message, position)[1] if kind == 0 else position + _SKIP[kind]
        yield 0, 0, 0
    if position > end:
        raise IndexError


class _TooManyFieldsError(Exception):
    """There are more fields beside each other than were asked about."""


def _varint(message: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, position
        shift += 7
        if shift > 63:
            raise IndexError


def _invalid(reason: str) -> RpcError:
    return RpcError(GrpcStatus.INVALID_ARGUMENT, reason)
