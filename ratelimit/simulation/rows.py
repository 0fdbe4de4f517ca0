"""From the values of lines to rows: their moments, and the plans of what they ask, each made once.

A source reads lines in lumps, as fast as it can; where anything in a lump is wrong, it goes line by line, so that the
line is named and the others are counted. What a line asks depends on its values only, and most lines have values that
came before: they are looked up, in a memo of bounded size.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from ratelimit.descriptors.request import Request
from ratelimit.errors import LogError, RpcError
from ratelimit.simulation.moments import Moment, Moments
from ratelimit.simulation.planned import Planned
from ratelimit.simulation.replay import Row
from ratelimit.simulation.template import Value

MEMO_MAX = 32_768
NAMED_MAX = 10


class Recipe(Protocol):
    """Makes requests of values."""

    def request(self, values: Sequence[Value]) -> Request | None:
        """The request; None where nothing is asked. Raises ValueError."""


@dataclass(slots=True)
class Lines:
    """How many lines there were, without empty ones. `named` are the first of those that are `broken`, and why.

    `silent` ask nothing: no descriptor is left of them.
    """

    strict: bool = False
    read: int = 0
    broken: int = 0
    silent: int = 0
    named: list[tuple[int, str]] = field(default_factory=list)

    def breaks(self, number: int, reason: str) -> None:
        """Take note of a line that cannot be used. Raises LogError where none may be."""
        if self.strict:
            raise LogError(f"line {number}: {reason}")
        self.broken += 1
        if len(self.named) < NAMED_MAX:
            self.named.append((number, reason))


class Memo(dict[Hashable, Sequence[Planned]]):
    """Plans by the values that they are made from; empty where nothing is asked. Raises ValueError."""

    def __init__(self, recipe: Recipe, planners: Sequence[Callable[[Request], Planned]], *, alone: bool) -> None:
        """`alone`: a key is the one value, and not a tuple of values."""
        super().__init__()
        self._recipe = recipe
        self._planners = planners
        self._alone = alone

    def __missing__(self, key: Hashable) -> Sequence[Planned]:
        if len(self) >= MEMO_MAX:
            for oldest in list(islice(self, MEMO_MAX // 8)):
                del self[oldest]
        values: Sequence[Value] = (key,) if self._alone else key  # type: ignore[assignment]
        request = self._recipe.request(values)
        try:
            plans = () if request is None else tuple(plan(request) for plan in self._planners)
        except RpcError as error:
            raise ValueError(error.details) from None
        except UnicodeEncodeError:
            raise ValueError("a value is not UTF-8") from None
        self[key] = plans
        return plans


class Rows:
    """Makes rows."""

    def __init__(self, memo: Memo, lines: Lines) -> None:
        self.lines = lines
        self._memo = memo
        self._moments = Moments()

    def of(self, times: Sequence[Moment | None], keys: Iterable[Hashable]) -> list[Row]:
        """The rows of many lines. Raises ValueError where one of them cannot be used, and has changed nothing then."""
        moments = self._moments.all_of(times)
        memo = self._memo
        rows = [row for row in zip(moments, [memo[key] for key in keys], strict=True) if row[1]]
        self.lines.read += len(moments)
        self.lines.silent += len(moments) - len(rows)
        return rows

    def of_one(self, number: int, read: Callable[[], tuple[Moment | None, Hashable]]) -> Row | None:
        """The row of the line of that number; None where it is broken, or asks nothing."""
        self.lines.read += 1
        try:
            time, key = read()
            moment, plans = self._moments.of(time), self._memo[key]
        except ValueError as error:
            self.lines.breaks(number, str(error))
            return None
        self.lines.silent += not plans
        return (moment, plans) if plans else None
