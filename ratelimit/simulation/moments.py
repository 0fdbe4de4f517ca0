"""When a line of a log happened: RFC 3339, as Envoy's %START_TIME% prints it, or seconds since the Unix epoch.

Nearly all texts of a log have a second that the line before had too, and one of few fractions: both are kept.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

Moment = str | int | float
# Seconds, milliseconds, microseconds or nanoseconds: the year 5138 in one is 1973 in the next.
_UNITS = ((1e11, 1_000), (1e14, 1), (1e17, 1 / 1_000), (1e20, 1 / 1_000_000))
# A double tells seconds of this century to a quarter of a microsecond: 0.123 s must not be 122 ms.
_ROUNDING = 0.001
KEPT_MAX = 4_096
# The beginning of an RFC 3339 text, up to its second.
SECOND_LENGTH = len("2026-01-01T00:00:00")
_REST = re.compile(r"(\.\d{1,9})?(?:[zZ]|([+-])(\d\d):?(\d\d))")
MINUTE_LENGTH = len("2026-01-01T00:00")
_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")
_SECONDS = {f":{second:02}": second * 1_000 for second in range(60)}
_NUMBER = re.compile(r"\d+(\.\d+)?")


class _Kept(dict[str, int]):
    """Numbers by their text, emptied when there are too many."""

    def keep(self, text: str, number: int) -> int:
        if len(self) >= KEPT_MAX:
            self.clear()
        self[text] = number
        return number


class _Minutes(_Kept):
    """Up to the minute, in milliseconds since the epoch."""

    def __missing__(self, text: str) -> int:
        if not _MINUTE.fullmatch(text):
            raise ValueError("is no time")
        return self.keep(text, int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000)


class _Seconds(_Kept):
    """Up to the second, in milliseconds since the epoch: of a log with few lines a second each one is new."""

    def __init__(self) -> None:
        super().__init__()
        self._minutes = _Minutes()

    def __missing__(self, text: str) -> int:
        ms = _SECONDS.get(text[MINUTE_LENGTH:])
        if ms is None:
            raise ValueError("is no time")
        return self.keep(text, self._minutes[text[:MINUTE_LENGTH]] + ms)


class _Rests(_Kept):
    """What follows the second: a fraction, and `Z` or an offset, in milliseconds."""

    def __missing__(self, text: str) -> int:
        found = _REST.fullmatch(text)
        if found is None:
            raise ValueError("is no time with an offset")
        fraction, sign, hours, minutes = found.groups()
        offset_ms = (int(hours) * 60 + int(minutes)) * 60_000 if sign else 0
        thousandths = int(f"{(fraction or '.0')[1:]:0<3}"[:3])
        return self.keep(text, thousandths + (offset_ms if sign == "-" else -offset_ms))


class Moments:
    """Reads moments, in unix milliseconds."""

    def __init__(self) -> None:
        self._seconds = _Seconds()
        self._rests = _Rests()

    def all_of(self, values: Sequence[Moment | None]) -> list[int]:
        """Those of many values, fast where they are RFC 3339 texts. Raises ValueError as `of` does."""
        seconds, rests = self._seconds, self._rests
        texts = cast("Sequence[str]", values)
        try:
            moments = [seconds[text[:SECOND_LENGTH]] + rests[text[SECOND_LENGTH:]] for text in texts]
        except (ValueError, TypeError):
            return list(map(self.of, values))
        if moments and min(moments) < 0:
            raise ValueError("is before 1970")
        return moments

    def of(self, value: Moment | None) -> int:
        """That of one value: such a text, or a number or its text. Raises ValueError with what is wrong."""
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            try:
                ms = self._seconds[value[:SECOND_LENGTH]] + self._rests[value[SECOND_LENGTH:]]
            except ValueError as error:
                raise ValueError(f"{value[:40]!r} {_reason(error)}") from None
            if ms < 0:
                raise ValueError(f"{value[:40]!r} is before 1970")
            return ms
        if value is None or isinstance(value, bool):
            raise ValueError("is missing")
        number = float(value)
        for most, factor in _UNITS:
            if 0 <= number < most:
                return int(number * factor + _ROUNDING)
        raise ValueError(f"{value} is no time since 1970")


def _reason(error: ValueError) -> str:
    reason = str(error)
    return reason if reason.startswith("is ") else "is no time"
