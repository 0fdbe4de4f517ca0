"""The bytes of a `RateLimitResponse.DescriptorStatus`, built from parts that are prepared once.

    12 <size> 08 01|02   12 <size> <RateLimit>   18 <limit_remaining>   22 <size> 08 <seconds>
    └ head: depends on the limit, and on the sizes of what follows ┘└ varies ┘└ tail: the same for a second ┘

Goal: what `service/messages.py` lets protobuf write, byte for byte (a property test shows it), without a message object
per descriptor. Fields of the value 0 are left out, as proto3 has it. The first byte of the head is the tag of
`RateLimitResponse.statuses`, so a status is ready to be joined into a response.
"""

from collections.abc import Sequence

from ratelimit.descriptors.limit import Limit
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.plan import Verdict
from ratelimit.limiter.window import window_of

OK = b"\x08\x01"
OVER_LIMIT = b"\x08\x02"
_REMAINING_UNLIMITED = b"\x12\x08\x08\x01\x18\xff\xff\xff\xff\x0f"


_SMALL = [bytes((number,)) for number in range(128)]


def varint(number: int) -> bytes:
    """A protobuf varint of a number that is not negative."""
    if number < 128:
        return _SMALL[number]
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


# The field limit_remaining: whole for a number of 14 bits (nothing for 0), or its first three bytes for a larger one,
# by its lowest 14 bits.
_REMAINING = [b"", *(b"\x18" + varint(number) for number in range(1, 1 << 14))]
_REMAINING_STARTS = [bytes((0x18, number & 127 | 128, number >> 7 | 128)) for number in range(1 << 14)]


def verdict_bytes(verdict: Verdict) -> bytes:
    """The status of a descriptor that is not counted."""
    return _REMAINING_UNLIMITED if verdict is Verdict.UNLIMITED else b"\x12\x02" + OK


class StatusBytes:
    """Writes the statuses of one limit; with `alone` each with the overall code before it: a whole response.

    `requests_per_unit` is the limit, `denies` whether being over it is OVER_LIMIT, as it is outside shadow mode.
    What stands around limit_remaining is kept as long as neither the second changes nor what is above its lowest 14
    bits: `second` and `high`.
    """

    __slots__ = (
        "_alone",
        "_current_limit",
        "_limit",
        "denies",
        "head",
        "heads",
        "high",
        "over",
        "requests_per_unit",
        "second",
        "tail",
    )

    def __init__(self, limit: Limit, *, alone: bool = False) -> None:
        self.requests_per_unit = limit.requests_per_unit
        self.denies = not limit.shadow_mode
        self._alone = alone
        self._current_limit = _current_limit(limit)
        self._limit = limit
        self.second = -1
        self.high = 0
        self.heads: list[bytes] = []
        self.head = self.tail = self.over = b""

    def within(self, remaining: int, now: int) -> bytes:
        """For a count that is `remaining` below the limit, 0 or more."""
        high = remaining >> 14
        if self.second != now or self.high != high:
            self._turn(now, high)
        if high:
            return self.head + _REMAINING_STARTS[remaining & 16383] + self.tail
        field = _REMAINING[remaining]
        return self.heads[len(field)] + field + self.tail

    def beyond(self, now: int) -> bytes:
        """For a count above the limit."""
        if self.second != now:
            self._turn(now, self.high)
        return self.over

    def told(self, result: Counted) -> bytes:
        """For a result that says by itself whether it is within the limit, what remains, and until when."""
        code = OVER_LIMIT if self.denies and not result.allowed else OK
        remaining = b"\x18" + varint(result.remaining) if result.remaining else b""
        duration = b"\x08" + varint(result.reset_s) if result.reset_s else b""
        tail = remaining + b"\x22" + varint(len(duration)) + duration
        return self._head_for(code, len(tail)) + tail

    def _turn(self, now: int, high: int) -> None:
        """Be ready for the second `now`, and for what has `high` above its lowest 14 bits."""
        duration = b"\x08" + varint(window_of(self._limit, now).reset_s(now))
        tail = b"\x22" + varint(len(duration)) + duration
        over = OVER_LIMIT if self.denies else OK
        self.over = self._head_for(over, len(tail)) + tail
        if high:
            tail = varint(high) + tail
            self.head = self._head_for(OK, 3 + len(tail))
        else:  # one head for each size that the field may have: left out, or a tag and 1 or 2 bytes
            self.heads = [self._head_for(OK, size + len(tail)) for size in range(4)]
        self.tail, self.second, self.high = tail, now, high

    def _head_for(self, code: bytes, following: int) -> bytes:
        size = len(code) + len(self._current_limit) + following
        overall = code if self._alone else b""
        return overall + b"\x12" + varint(size) + code + self._current_limit


def written(statuses: Sequence[StatusBytes], counts: Sequence[int | None], now: int) -> list[bytes]:
    """The overall code, then a status for each count; None is a count that is known to be over.

    `make bench-floors` earns the shape of the loop: `within` stands in it, unfolded.
    """
    parts = [OK]
    for status, count in zip(statuses, counts, strict=True):
        if count is None or (remaining := status.requests_per_unit - count) < 0:
            parts.append(status.beyond(now))
            if status.denies:
                parts[0] = OVER_LIMIT
        elif status.second != now or status.high != remaining >> 14:
            parts.append(status.within(remaining, now))
        elif status.high:
            parts.append(status.head + _REMAINING_STARTS[remaining & 16383] + status.tail)
        else:
            field = _REMAINING[remaining]
            parts.append(status.heads[len(field)] + field + status.tail)
    return parts


def _current_limit(limit: Limit) -> bytes:
    """The field current_limit: requests_per_unit 1, unit 2, name 3, unit_multiplier 4 (RateLimitResponse.RateLimit)."""
    fields = b"" if limit.requests_per_unit == 0 else b"\x08" + varint(limit.requests_per_unit)
    fields += b"\x10" + varint(limit.unit.wire)
    if limit.name:
        name = limit.name.encode()
        fields += b"\x1a" + varint(len(name)) + name
    if limit.unit_multiplier > 1:
        value = b"\x08" + varint(limit.unit_multiplier)
        fields += b"\x22" + varint(len(value)) + value
    return b"\x12" + varint(len(fields)) + fields
