"""Which calls are traced: those whose caller traces them, and a part of those without a trace.

For the second no dice are thrown per call: how many calls it is to the next one that is traced is drawn at once.
"""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from ratelimit.transport.trace_fields import UNSAMPLED

NEVER = 2**62


class Sampling:
    """`rate` is the part of calls without a parent that are traced, 0 to 1; what lies outside means the nearer end."""

    def __init__(self, rate: float, draw: Callable[[], float] = random.random) -> None:
        self._rate = rate
        self._draw = draw
        self._to_next = self._gap()

    def chosen(self, parents: Sequence[Any]) -> Sequence[int]:
        """The places of the calls to trace, by their parents."""
        roots = parents.count(None)
        if roots < self._to_next:
            self._to_next -= roots
            if roots + parents.count(UNSAMPLED) == len(parents):
                return ()
            return [place for place, parent in enumerate(parents) if parent is not None and parent is not UNSAMPLED]
        return [place for place, parent in enumerate(parents) if self._is_chosen(parent)]

    def root(self) -> bool:
        """Whether one call without a parent is traced."""
        self._to_next -= 1
        if self._to_next > 0:
            return False
        self._to_next = self._gap()
        return True

    def _is_chosen(self, parent: Any) -> bool:
        return self.root() if parent is None else parent is not UNSAMPLED

    def _gap(self) -> int:
        """The number of calls until one is traced, that one included: as if dice were thrown for each."""
        if self._rate >= 1:
            return 1
        if self._rate <= 0:
            return NEVER
        return min(NEVER, int(math.log1p(-self._draw()) / math.log1p(-self._rate)) + 1)
