"""One configuration, and the requests of a log counted under it, at their moments."""

from collections.abc import Sequence

from ratelimit.descriptors.request import Request
from ratelimit.descriptors.tree import Config
from ratelimit.limiter.algorithm import FIXED_WINDOW
from ratelimit.limiter.counter_store import COUNT_MAX
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.settings import Settings
from ratelimit.simulation.exact_lane import ExactLane
from ratelimit.simulation.planned import Planned, Planning
from ratelimit.simulation.tallies import Tallies, Tally, Timeline
from ratelimit.simulation.windows import Reached, Windows

Row = tuple[int, Sequence[Planned]]
"""A request: its unix millisecond, and its plan for each configuration that is replayed."""


class Replay:
    """Counts rows. `index` is its place in the plans of a row. What it came to is told after `finish`."""

    def __init__(self, config: Config, settings: Settings, index: int = 0) -> None:
        self._index = index
        self.timeline = Timeline()
        self.series = self.timeline.series()
        self._tallies = Tallies(self.timeline.series)
        self._planning = Planning(config, settings, self._tallies)
        self.windows = Windows()
        cache = OverLimitCache(settings.limiter.local_cache_size_in_bytes)
        self._counts_denied = not cache.enabled
        self.exact = ExactLane(cache)
        self._touched: list[Reached] = []
        self._second = 0
        self._ends_ms = 0
        self._since = (0, 0)
        self.requests = 0
        self.denied = 0

    @property
    def tallies(self) -> list[Tally]:
        """One for each limit that was reached, and one for what matched none."""
        return self._tallies.all()

    def plan(self, request: Request) -> Planned:
        """The plan of a request. Raises RpcError for one that the service refuses."""
        return self._planning.plan(request)

    def run(self, rows: Sequence[Row]) -> list[int]:
        """Count rows in the order of their moments, none before those that were counted; which were denied.

        `make bench-simulate` is what this loop is for: the common request is counted here, without a call.
        """
        denied: list[int] = []
        index, turn, touched = self._index, self.windows.turn, self._touched
        ends_ms = self._ends_ms
        for place, (ms, plans) in enumerate(rows):
            if ms >= ends_ms:
                ends_ms = self._turn(ms, place, len(denied))
            planned = plans[index]
            reached = planned.single
            if reached is None:
                if self._count(planned, ms):
                    denied.append(place)
                continue
            cell = reached.cell
            if cell is None or ms >= reached.ends_ms:
                cell = turn(reached, ms)
            count = cell[0] = cell[0] + reached.amount
            if not reached.requests:
                touched.append(reached)
            reached.requests += 1
            if count > reached.limit:
                if count > COUNT_MAX:
                    cell[0] = COUNT_MAX
                reached.is_over(ms)
                if planned.denies:
                    reached.denied += 1
                    denied.append(place)
        self._since = (self._since[0] - len(rows), self._since[1] - len(denied))
        self.requests += len(rows)
        self.denied += len(denied)
        return denied

    def finish(self) -> None:
        """Tally what came last."""
        self._flush(0, 0)

    def _count(self, planned: Planned, ms: int) -> bool:
        """Count a request of any kind; whether it is denied."""
        over = self._over(planned, ms)
        for each in planned.reached:
            if not each.requests:
                self._touched.append(each)
            each.requests += 1
        if not over:
            return False
        for bit, reached in planned.charged:
            if over & bit:
                reached.is_over(ms)
        outcome = planned.outcome(over)
        for reached in outcome.by:
            reached.denied += 1
        return outcome.denied

    def _over(self, planned: Planned, ms: int) -> int:
        """Charge a request; the bits of the charges that are over their limits."""
        over = 0
        for bit, reached in planned.fast:
            if self.windows.add(reached, ms) > reached.limit:
                over |= bit
        if planned.submission is None:
            return over
        for (bit, reached), result in zip(planned.exact, self.exact.count(planned.submission, ms), strict=True):
            if reached.charge.algorithm is FIXED_WINDOW and self._counts_denied and not planned.submission.together:
                reached.tally.saw(result.count)
            if not result.allowed:
                over |= bit
        return over

    def _turn(self, ms: int, requests: int, denied: int) -> int:
        """Go on to another bucket, after so many rows of this run; until which unix millisecond it lasts."""
        self._flush(requests, denied)
        self._second = ms // 1_000
        self._ends_ms = self.timeline.reach(self._second) * 1_000
        return self._ends_ms

    def _flush(self, requests: int, denied: int) -> None:
        """Tally what came in the bucket; `_since` is where in this run, or before it, the bucket began."""
        timeline, second = self.timeline, self._second
        if requests > self._since[0]:
            timeline.add(self.series, second, requests - self._since[0], denied - self._since[1])
        self._since = (requests, denied)
        for reached in self._touched:
            came, over = reached.tell()
            if reached.tally.series is not None:
                timeline.add(reached.tally.series, second, came, over)
        self._touched.clear()
