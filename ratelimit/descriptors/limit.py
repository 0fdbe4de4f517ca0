"""`Limit`, the rule that a descriptor reaches, and `Unit`, the length of its window."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ratelimit.descriptors.quota_assignment import DEFAULT, QuotaAssignment

REQUESTS_PER_UNIT_MAX = 2**32 - 1
FIXED_WINDOW = "fixed_window"
# The names of the rows of limiter/algorithm.py.
ALGORITHM_NAMES = (FIXED_WINDOW, "sliding_window", "gcra")
# Ten years: a window beyond that is a mistake, and its microseconds stay exact in a double.
WINDOW_S_MAX = 10 * 365 * 86_400


class Unit(Enum):
    """The unit of a limit. `wire` is its number in `RateLimitResponse.RateLimit.Unit` (rls.proto).

    `seconds` is its length: windows are aligned to the epoch, a month has 30 days and a year 365.
    """

    SECOND = (1, 1)
    MINUTE = (2, 60)
    HOUR = (3, 3_600)
    DAY = (4, 86_400)
    MONTH = (5, 30 * 86_400)
    YEAR = (6, 365 * 86_400)
    WEEK = (7, 7 * 86_400)

    def __init__(self, wire: int, seconds: int) -> None:
        self.wire = wire
        self.seconds = seconds

    @property
    def multiplier_max(self) -> int:
        """The largest `unit_multiplier`: a window lasts at most WINDOW_S_MAX."""
        return WINDOW_S_MAX // self.seconds


@dataclass(frozen=True, slots=True)
class Limit:
    """One `rate_limit` of the configuration, or the override that came with a descriptor.

    `unlimited` limits are never counted: their `requests_per_unit` is 0 and their `unit` is of no meaning.
    `replaces` names the limits that this one switches off within a request that reaches both. Its window is
    `unit_multiplier` units long: `window_s` seconds, or with `calendar` so many months of the calendar, in UTC.
    `algorithm` is one of ALGORITHM_NAMES. `quota_assignment` is for Envoys that count for themselves.
    """

    requests_per_unit: int
    unit: Unit
    unlimited: bool = False
    name: str = ""
    replaces: frozenset[str] = frozenset()
    shadow_mode: bool = False
    quota_mode: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    unit_multiplier: int = 1
    calendar: bool = False
    algorithm: str = FIXED_WINDOW
    quota_assignment: QuotaAssignment = DEFAULT
    window_s: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window_s", self.unit.seconds * self.unit_multiplier)

    @property
    def period(self) -> str:
        """How long its window is in words: `hour`, `5 minutes`."""
        unit = self.unit.name.lower()
        return unit if self.unit_multiplier == 1 else f"{self.unit_multiplier} {unit}s"
