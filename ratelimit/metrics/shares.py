"""What divided limits are made of, by their stat name: sums over the Envoys of this process, which come and go.

Several limits may have one name (those of all values of a key), so each adds what changed of its own.
"""

from collections.abc import Iterable

from ratelimit.metrics.declared import SHARE
from ratelimit.metrics.names import OTHER, stat_name


class ShareSeries:
    """A number for each row of SHARE, by series; there are at most `series_max`, all further ones are `__other__`."""

    def __init__(self, series_max: int) -> None:
        self.all: dict[str, list[int]] = {}
        self._series_max = series_max

    def add(self, stat_key: str, differences: Iterable[int]) -> None:
        """Add to the numbers of a limit."""
        name = stat_name(stat_key)
        if name not in self.all and len(self.all) - (OTHER in self.all) >= self._series_max:
            name = OTHER
        numbers = self.all.setdefault(name, [0] * len(SHARE))
        for index, difference in enumerate(differences):
            numbers[index] += difference
