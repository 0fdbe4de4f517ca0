"""The ledgers of this process: one for each limit that Envoys share, ticked when they have something to do.

A report notes, and is answered by what there is; what is decided from it, plans above all, is done here: every ledger
at most once in TICK_S, and no more than SLICE_S of work in one turn of the event loop, so that other calls come to
their right.
"""

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Protocol

from ratelimit.metrics import QuotaStats
from ratelimit.metrics.declared import SHARE
from ratelimit.quota.assignment import Abandon, Push
from ratelimit.quota.options import TUNING, AckMode, LedgerOptions
from ratelimit.quota.shares import BucketShares, Totals
from ratelimit.quota.usage_sheet import UsageSheet
from ratelimit.service.rlqs.limits import Divided, LedgerKey

TICK_S = 0.05
SLICE_S = 0.003
# After a slice so many times as long for others: however many ledgers have something to do, half of the loop is theirs.
REST = 1
# A plan looks at all rows of its ledger: up to so many a second, ledgers plan as often as they may; beyond, less often,
# down to once for each report of an Envoy.
ROWS_PER_S = 20_000
PLAN_EVERY_S, PLAN_EVERY_S_MAX = TUNING.plan_every_s, TUNING.report_s
# As often as Envoys report.
COUNT_EVERY_S = 5.0
# How late reports are taken is known at once where it grows, and is forgotten over so many reports.
LATE_S_MAX, LATE_REPORTS = TUNING.report_s, 20
NOTHING_COUNTED = (0,) * len(SHARE)
MINUTE_S = 60


class QuotaLedger(Protocol):
    """A ledger of the quota floor, of this process alone or shared."""

    options: LedgerOptions
    plan_every_s: float
    late_s: float
    next_tick_s: float

    @property
    def empty(self) -> bool:
        """Whether nothing is held."""

    def take_report(self, envoy: str, allowed: int, denied: int, elapsed_s: float, now_s: float) -> Push | None:
        """Take a report in; what it is answered, None where a tick is to say it."""

    def sit(self, envoy: str, sheet: UsageSheet, place: int, now_s: float) -> None:
        """Say where reports of an Envoy, which has just reported, may be noted."""

    def heard(self, now_s: float) -> None:
        """Take in that reports were noted since the last tick."""

    def weigh(self, envoy: str, weight: float) -> None:
        """Say for how many an Envoy counts."""

    def acked(self, envoy: str, seq: int, now_s: float) -> None:
        """Take in that it obeys."""

    def closed(self, envoy: str, now_s: float) -> None:
        """Take in that its stream ended."""

    def tick(self, now_s: float) -> list[Push]:
        """What is to be sent now."""

    def shares(self, now_s: float) -> BucketShares:
        """Who has what."""

    def totals(self, replica: str, now_s: float) -> Totals:
        """What the Envoys of one replica have together."""


class Listener(Protocol):
    """The bucket on the stream of an Envoy."""

    def push(self, push: Push) -> None:
        """Send it on; never blocks."""


class BucketLedger:
    """One ledger; `listeners` has, by row, who is told. No other has its `number`."""

    __slots__ = ("counted", "counted_s", "divided", "due_s", "ledger", "listeners", "number", "ticked_s")

    def __init__(self, number: int, divided: Divided, ledger: QuotaLedger) -> None:
        self.number = number
        self.divided = divided
        self.ledger = ledger
        self.listeners: dict[str, Listener] = {}
        self.due_s = float("inf")
        self.ticked_s = self.counted_s = float("-inf")
        # What was told to the metrics of it.
        self.counted = NOTHING_COUNTED

    @property
    def domain(self) -> str:
        """The domain that it belongs to."""
        return self.divided.key[0]


MakeLedger = Callable[[Divided, Callable[[], None]], QuotaLedger]
"""Makes the ledger of a limit; what it is given wakes it: `tick` soon."""


Tell = Callable[[str, Sequence[int]], None]
"""Takes what changed of a limit: its stat name, and a difference for each row of `metrics.declared.SHARE`."""


class Ledgers:
    """All ledgers, and their clock. Made inside the running event loop; `domain_max` bounds those of a domain.

    `stats` know how many rows the ledgers have for Envoys that are here. `awaits` says by number whether a ledger is to
    hear that a report was noted: the first since its last tick.
    """

    def __init__(self, make: MakeLedger, domain_max: int, stats: QuotaStats, tell: Tell, replica: str = "") -> None:
        self._stats = stats
        self._tell_metrics = tell
        self._replica = replica
        self._make = make
        self._domain_max = domain_max
        self._loop = asyncio.get_running_loop()
        self._all: dict[LedgerKey, BucketLedger] = {}
        self.awaits = bytearray()
        self._numbered: list[BucketLedger | None] = []
        self._free_numbers: list[int] = []
        self._of_domain: dict[str, int] = {}
        self._due: list[tuple[float, int, BucketLedger]] = []
        self._order = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        self._rests_until_s = float("-inf")
        self._closed = False
        self._late_s = 0.0

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[BucketLedger]:
        return iter(self._all.values())

    def get(self, divided: Divided) -> BucketLedger | None:
        """The ledger of a limit; None where its domain has too many. A limit that was changed is so from now on.

        Where one Envoy acknowledges by reports, all are waited for as long as that takes.
        """
        found = self._all.get(divided.key)
        if found is not None:
            options = divided.options
            if found.ledger.options.ack is not options.ack:
                options = replace(options, ack=AckMode.REPORT)
            if found.ledger.options != options:
                found.ledger.options = options
                found.divided = divided
            return found
        domain = divided.key[0]
        held = self._of_domain.get(domain, 0)
        if held >= self._domain_max:
            return None
        made: list[BucketLedger] = []
        made.append(BucketLedger(self._number(), divided, self._make(divided, lambda: self.wake(made[0]))))
        self._all[divided.key] = self._numbered[made[0].number] = made[0]
        self._of_domain[domain] = held + 1
        return made[0]

    def waited(self, waited_s: float) -> None:
        """A report waited here for so long: it may be that one which nobody has seen yet does."""
        late_s = min(waited_s, LATE_S_MAX)
        self._late_s = max(late_s, self._late_s + (late_s - self._late_s) / LATE_REPORTS)

    def take_reports_for_acks(self, bucket: BucketLedger) -> None:
        """An Envoy of this ledger acknowledges by its reports."""
        bucket.ledger.options = replace(bucket.ledger.options, ack=AckMode.REPORT)

    def heard(self, number: int, now_s: float) -> None:
        """Reports of this ledger's Envoys were noted: it ticks when it plans."""
        self.awaits[number] = False
        bucket = self._numbered[number]
        if bucket is not None:
            bucket.ledger.heard(now_s)
            self.touched(bucket)

    def touched(self, bucket: BucketLedger) -> None:
        """A ledger was told something: it ticks when it says so, and goes when nothing is left of it."""
        if not bucket.listeners and bucket.ledger.empty:
            self._drop(bucket)
        elif bucket.ledger.next_tick_s < bucket.due_s:
            due_s = max(bucket.ledger.next_tick_s, bucket.ticked_s + TICK_S)
            if due_s < bucket.due_s:
                bucket.due_s = due_s
                heapq.heappush(self._due, (due_s, next(self._order), bucket))
                self._wake_at(due_s)

    def wake(self, bucket: BucketLedger) -> None:
        """A ledger has something to send."""
        bucket.ledger.next_tick_s = self._loop.time()
        self.touched(bucket)

    def close(self) -> None:
        """Nothing is told any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _wake_at(self, due_s: float) -> None:
        due_s = max(due_s, self._rests_until_s)
        if self._closed or due_s >= self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = self._loop.call_at(due_s, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_s = None, float("inf")
        # The loop's own time stands still within a turn.
        now_s, started = self._loop.time(), time.perf_counter()
        # What was decided on the last reports is not decided anew before the next ones are there.
        plan_every_s = min(max(PLAN_EVERY_S, self._stats.rows / ROWS_PER_S), PLAN_EVERY_S_MAX) + self._late_s
        used_s = 0.0
        while self._due and self._due[0][0] <= now_s and used_s < SLICE_S:
            due_s, _, bucket = heapq.heappop(self._due)
            if due_s == bucket.due_s:
                bucket.ledger.plan_every_s, bucket.ledger.late_s = plan_every_s, self._late_s
                self._tick_one(bucket, now_s)
                used_s = time.perf_counter() - started
        self._rests_until_s = now_s + (1 + REST) * used_s
        if self._due:
            self._wake_at(self._due[0][0])

    def _tick_one(self, bucket: BucketLedger, now_s: float) -> None:
        bucket.due_s, bucket.ticked_s = float("inf"), now_s
        for push in bucket.ledger.tick(now_s):
            listener = bucket.listeners.get(push.envoy)
            if listener is not None:
                listener.push(push)
                if isinstance(push.action, Abandon):
                    del bucket.listeners[push.envoy]
        if now_s - bucket.counted_s >= COUNT_EVERY_S:
            bucket.counted_s = now_s
            self._tell(bucket, counted(bucket.ledger.totals(self._replica, now_s)))
        self.awaits[bucket.number] = True
        self.touched(bucket)

    def _tell(self, bucket: BucketLedger, numbers: tuple[int, ...]) -> None:
        differences = [now - before for now, before in zip(numbers, bucket.counted, strict=True)]
        bucket.counted = numbers
        self._tell_metrics(bucket.divided.stat_key, differences)

    def _number(self) -> int:
        if not self._free_numbers:
            self._free_numbers.append(len(self._numbered))
            self._numbered.append(None)
            self.awaits.append(False)
        number = self._free_numbers.pop()
        self.awaits[number] = True
        return number

    def _drop(self, bucket: BucketLedger) -> None:
        if self._all.get(bucket.divided.key) is not bucket:
            return
        del self._all[bucket.divided.key]
        self._numbered[bucket.number] = None
        self._free_numbers.append(bucket.number)
        self._tell(bucket, NOTHING_COUNTED)
        self._of_domain[bucket.domain] -= 1
        if not self._of_domain[bucket.domain]:
            del self._of_domain[bucket.domain]


def counted(totals: Totals) -> tuple[int, ...]:
    """What the metrics are told, in the order of `metrics.declared.SHARE`."""
    return (
        round(MINUTE_S * totals.assigned),
        round(MINUTE_S * totals.hold),
        round(MINUTE_S * totals.demand),
        round(MINUTE_S * totals.refused),
        round(totals.bound),
        totals.envoys,
        totals.silent,
    )
