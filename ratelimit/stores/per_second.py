"""Two stores as one: hits of limits per second are counted in a store of their own (REDIS_PERSECOND).

Such counters are short-lived and many, so they may live on a server of their own. Hits of a group are charged all or
none, which two stores cannot do together: every group goes to the main store whole, whatever its units. The
planner puts all hits of such a domain into groups (`Grouping.singles`), so each counter is still in one store only.
"""

from collections.abc import Callable, Sequence
from functools import partial

from ratelimit.limiter.counter_store import UNGROUPED, Batch, CounterStore, Hit, Results


class PerSecondStore:
    """A `CounterStore` on two others; both may answer in their own time, within `timeouts_s` (main, per second).

    The deadline of a batch is the longer one's: the other's is as much earlier as its time is shorter.
    """

    def __init__(self, main: CounterStore, per_second: CounterStore, timeouts_s: tuple[float, float]) -> None:
        self._main = main
        self._per_second = per_second
        longest_s = max(timeouts_s)
        self._early_s = (longest_s - timeouts_s[0], longest_s - timeouts_s[1])

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        """Count a batch; see `CounterStore`. Results come when both stores have answered."""
        hits = batch.hits
        short = [hit.key.unit.seconds == 1 and hit.group == UNGROUPED for hit in hits]
        main_early_s, short_early_s = self._early_s
        if not any(short):
            self._main.count(Batch(hits, batch.now, batch.deadline - main_early_s), done)
        elif all(short):
            self._per_second.count(Batch(hits, batch.now, batch.deadline - short_early_s), done)
        else:
            merged = _Merged(short, done)
            main = Batch(_of(hits, short, False), batch.now, batch.deadline - main_early_s)
            others = Batch(_of(hits, short, True), batch.now, batch.deadline - short_early_s)
            self._main.count(main, partial(merged.put, False))
            self._per_second.count(others, partial(merged.put, True))


class BothReady:
    """Tells `on_state` that the store is ready when both are, and that it is not when one is lost."""

    def __init__(self, on_state: Callable[[bool], None]) -> None:
        self._on_state = on_state
        self._ready = [False, False]

    def changed(self, which: int, ready: bool) -> None:  # noqa: FBT001 - a store's listener
        """One of them, 0 or 1, is ready or lost."""
        before = all(self._ready)
        self._ready[which] = ready
        if all(self._ready) != before:
            self._on_state(not before)


class _Merged:
    def __init__(self, short: Sequence[bool], done: Callable[[Results], None]) -> None:
        self._short = short
        self._done = done
        self._parts: dict[bool, Results] = {}

    def put(self, short: bool, results: Results) -> None:  # noqa: FBT001 - which of two
        self._parts[short] = results
        if len(self._parts) == 2:
            parts = {which: iter(part) for which, part in self._parts.items()}
            self._done([next(parts[which]) for which in self._short])


def _of(hits: Sequence[Hit], short: Sequence[bool], wanted: bool) -> list[Hit]:  # noqa: FBT001 - which of two
    return [hit for hit, is_short in zip(hits, short, strict=True) if is_short is wanted]
