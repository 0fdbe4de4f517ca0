"""What is in a serialised RateLimitRequest, counted before anything is built from it.

A message of 4 MiB can hold two million empty descriptors, and making an object of each stops the event loop for
seconds. So the fields of a large message are counted on its bytes first (protobuf wire format: a key, then a varint,
8, 4, or a length and as many bytes), and the count stops at the first that is too many.
"""

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
        places = _fields(message, 0, len(message), (_DESCRIPTORS, DESCRIPTORS_MAX, "descriptors"))
        for index, (start, end) in enumerate(places):
            _fields(message, start, end, (_ENTRIES, ENTRIES_MAX, f"descriptors[{index}]: entries"))
    except (IndexError, KeyError):
        raise RpcError(GrpcStatus.INTERNAL, "not a RateLimitRequest: the message is cut short or garbled") from None


def has_at_most(message: bytes, fields_max: int) -> bool:
    """Whether a message has so many fields beside each other. Raises IndexError or KeyError where it is no protobuf."""
    position = fields = 0
    while position < len(message):
        fields += 1
        if fields > fields_max:
            return False
        key, position = _varint(message, position)
        if key & 7 in _SKIP:
            position += _SKIP[key & 7]
            continue
        size, position = _varint(message, position)
        if key & 7:
            position += size if key & 7 == _BYTES else _SKIP[key & 7]
    if position > len(message):
        raise IndexError
    return True


def _fields(message: bytes, position: int, end: int, counted: tuple[int, int, str]) -> list[tuple[int, int]]:
    """Where the values of one repeated message field stand. Raises RpcError for too many of it or of all fields."""
    number, most, name = counted
    places: list[tuple[int, int]] = []
    fields = 0
    while position < end:
        fields += 1
        if fields > FIELDS_MAX:
            raise _invalid(f"more than {FIELDS_MAX} fields beside each other")
        key, position = _varint(message, position)
        kind = key & 7
        if kind == _BYTES:
            size, start = _varint(message, position)
            position = start + size
            if key >> 3 == number:
                places.append((start, position))
                if len(places) > most:
                    raise _invalid(f"more than {most} {name}, at most {most} are allowed")
        elif kind == 0:
            _, position = _varint(message, position)
        else:
            position += _SKIP[kind]
    if position > end:
        raise IndexError
    return places


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
