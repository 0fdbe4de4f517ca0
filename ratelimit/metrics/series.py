"""The counters of limits by their stat name, and how many of them there may be.

Two kinds share one table of names. *Configured* names come from the files: they are as many as the files have limits,
and nothing that a caller sends takes their place. *Dynamic* names hold a value that the caller chose; there are at
most `dynamic_max`, all further ones share `__other__`.

A reload may drop limits. Their series stay, since a counter that is shown must not go backwards, until more than
`dynamic_max` configured series are left over; then the one whose limit was planned longest ago goes, as a whole. Its
counts are not moved to `__other__`: there they would look like new hits. Plans of the configuration in force and of
the one before may still add to their counters, so what those asked for never goes.
"""

from collections import ChainMap, OrderedDict
from collections.abc import Mapping

from ratelimit.metrics.counters import LimitStats
from ratelimit.metrics.names import OTHER

# More than one for each new series, so that what is over the bound shrinks, a little at a time.
DROPPED_AT_ONCE = 2


class LimitSeries:
    """All series of limits of one process."""

    def __init__(self, dynamic_max: int) -> None:
        self.configured: dict[str, LimitStats] = {}
        self.dynamic: dict[str, LimitStats] = {}
        self._dynamic_max = dynamic_max
        self._configured_limits = 0
        self._generation = 0
        # The generation that asked for a configured series last, longest ago first.
        self._asked: OrderedDict[str, int] = OrderedDict()

    @property
    def all(self) -> Mapping[str, LimitStats]:
        """Every series by its name, in the order of their kinds: configured, then dynamic."""
        return ChainMap(self.dynamic, self.configured)

    def reloaded(self, configured_limits: int) -> None:
        """A configuration with so many limits is in force from now on."""
        self._generation += 1
        self._configured_limits = configured_limits

    def get_configured(self, name: str) -> LimitStats:
        """The counters of a limit whose name stands in the configuration."""
        stats = self.configured.get(name)
        if stats is None:
            # Hits that were counted while the name was a caller's choice belong to it all the same.
            stats = self.configured[name] = self.dynamic.pop(name, LimitStats())
            self._drop_left_over()
        self._asked[name] = self._generation
        self._asked.move_to_end(name)
        return stats

    def get_dynamic(self, name: str) -> LimitStats:
        """The counters of a limit whose name holds a value of the request; those of `__other__` beyond the bound."""
        stats = self.configured.get(name) or self.dynamic.get(name)
        if stats is None:
            # `__other__` itself is one more, so that the bound holds exactly for the names.
            if len(self.dynamic) - (OTHER in self.dynamic) >= self._dynamic_max:
                name = OTHER
            stats = self.dynamic.setdefault(name, LimitStats())
        return stats

    def _drop_left_over(self) -> None:
        for _ in range(DROPPED_AT_ONCE):
            left_over = len(self.configured) - self._configured_limits
            if left_over <= self._dynamic_max or not self._asked:
                return
            name, generation = next(iter(self._asked.items()))
            if generation >= self._generation - 1:
                return
            del self._asked[name]
            del self.configured[name]
