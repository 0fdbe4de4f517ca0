"""Windows: they tile time, aligned to the Unix epoch, or to the months of the calendar."""

import calendar
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from ratelimit.descriptors.limit import Limit


class Window(NamedTuple):
    """From the second `start` on, for so many `seconds`."""

    start: int
    seconds: int

    def reset_s(self, now: int) -> int:
        """How long it goes on after the second `now`; the whole window for a clock that stepped back."""
        return self.start + self.seconds - now if self.start < now else self.seconds


def window_of(limit: Limit, now: int) -> Window:
    """The window of `limit` that holds the second `now`."""
    return _of_months(limit.unit_multiplier, now) if limit.calendar else _of_seconds(limit.window_s, now)


# Requests that nobody sent before ask each time, and their limits have few lengths.
@lru_cache(maxsize=256)
def _of_seconds(seconds: int, now: int) -> Window:
    return Window(now - now % seconds, seconds)


@lru_cache(maxsize=256)
def _of_months(months: int, now: int) -> Window:
    """So many calendar months in UTC, counted from January 1970."""
    moment = datetime.fromtimestamp(now, UTC)
    first = ((moment.year - 1970) * 12 + moment.month - 1) // months * months
    start = _month_start(first)
    return Window(start, _month_start(first + months) - start)


def _month_start(month: int) -> int:
    return calendar.timegm((1970 + month // 12, month % 12 + 1, 1, 0, 0, 0))
