import asyncio
from math import inf
from typing import Any

import pytest

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.metrics import QuotaStats
from ratelimit.quota.assignment import Abandon, Assign, Push
from ratelimit.quota.head import Head
from ratelimit.quota.options import AckMode, LedgerOptions
from ratelimit.quota.row import Row
from ratelimit.quota.shares import BucketShares, Totals, shares_of, totals_of
from ratelimit.service.rlqs import ledgers as ledgers_module
from ratelimit.service.rlqs.ledgers import TICK_S, BucketLedger, Ledgers
from ratelimit.service.rlqs.limits import Divided, find
from tests.service.rlqs.streams import CONFIG, until

ROWS = [Row("ours", "r", tokens=60, hold=2.0, burst=4), Row("other", "s", tokens=60, hold=2.0, silent=True)]


class FakeLedger:
    """A ledger that says what it is told to."""

    def __init__(self, options: LedgerOptions, loop: asyncio.AbstractEventLoop) -> None:
        self.options = options
        self.rows: dict[str, Any] = {"e": None}
        self.plan_every_s = self.late_s = 0.0
        self.next_tick_s = loop.time()
        self.pushes: list[Push] = []
        self.ticks: list[float] = []
        self.heard_s: list[float] = []

    @property
    def empty(self) -> bool:
        return not self.rows

    def report(self, *_: Any) -> None:
        pass

    weigh = acked = closed = reply = sit = report

    def heard(self, now_s: float) -> None:
        self.heard_s.append(now_s)
        self.next_tick_s = now_s

    def shares(self, now_s: float) -> BucketShares:
        return shares_of(ROWS, Head(), self.options, now_s)

    def totals(self, replica: str, now_s: float) -> Totals:
        return totals_of(ROWS, Head(), self.options, now_s, replica)

    def tick(self, now_s: float) -> list[Push]:
        self.ticks.append(now_s)
        self.next_tick_s = inf
        pushes, self.pushes = self.pushes, []
        return pushes


class Told:
    """A bucket on an Envoy's stream."""

    def __init__(self) -> None:
        self.told: list[Push] = []

    def push(self, push: Push) -> None:
        self.told.append(push)


def divided(user: str = "x", domain: str = "d") -> Divided:
    """A limit of its own for each user."""
    text = CONFIG.replace("domain: d", f"domain: {domain}")
    found = find(load_config([ConfigFile("f.yaml", text.encode())]), domain, {"user": user}, AckMode.PING)
    assert isinstance(found, Divided)
    return found


def all_of(domain_max: int = 100, tell: Any = lambda *_: None, rows: int = 0) -> tuple[Ledgers, list[Any]]:
    """Ledgers of fakes, and what wakes each."""
    loop = asyncio.get_running_loop()
    wakes: list[Any] = []

    def make(divided: Divided, wake: Any) -> FakeLedger:
        wakes.append(wake)
        return FakeLedger(divided.options, loop)

    stats = QuotaStats()
    stats.rows = rows
    return Ledgers(make, domain_max, stats, tell, "r"), wakes


def fake(bucket: BucketLedger | None) -> tuple[BucketLedger, FakeLedger]:
    """A bucket and its ledger."""
    assert bucket is not None
    assert isinstance(bucket.ledger, FakeLedger)
    return bucket, bucket.ledger


async def test_what_a_ledger_says_goes_to_the_stream_of_its_envoy() -> None:
    """Of an Envoy that is not here nothing is told; one that is told to forget is forgotten."""
    ledgers, _ = all_of()
    bucket, ledger = fake(ledgers.get(divided()))
    here = Told()
    bucket.listeners["here"] = here
    ledger.pushes = [Push("here", 1, Assign(1, 1, 12)), Push("away", 1, Assign(1, 1, 12)), Push("here", 2, Abandon())]
    ledgers.touched(bucket)
    await until(lambda: ledger.ticks)
    assert [push.seq for push in here.told] == [1, 2]
    assert bucket.listeners == {}
    ledgers.close()


async def test_a_ledger_ticks_when_it_says_and_not_more_often() -> None:
    """However often it is told something; a store that brought something wakes it."""
    ledgers, wakes = all_of()
    bucket, ledger = fake(ledgers.get(divided()))
    for _ in range(20):
        ledger.next_tick_s = asyncio.get_running_loop().time()
        ledgers.touched(bucket)
        await asyncio.sleep(0)
        assert len(ledgers._due) <= 1
    assert len(ledger.ticks) == 1
    wakes[0]()
    await until(lambda: len(ledger.ticks) == 2)
    assert ledger.ticks[1] >= ledger.ticks[0] + TICK_S
    assert ledger.plan_every_s == ledgers_module.PLAN_EVERY_S
    ledgers.close()


async def test_a_ledger_hears_of_the_first_note_after_a_tick() -> None:
    """It ticks then, and asks for all there are. Another ledger may get its number when it is gone."""
    ledgers, _ = all_of()
    bucket, ledger = fake(ledgers.get(divided()))
    other, _ = fake(ledgers.get(divided("other")))
    ledger.next_tick_s = inf
    assert ledgers.awaits[bucket.number]
    ledgers.heard(bucket.number, 7.0)
    assert (ledger.heard_s, ledgers.awaits[bucket.number], ledgers.awaits[other.number]) == ([7.0], False, True)
    await until(lambda: ledger.ticks)
    assert ledgers.awaits[bucket.number]
    ledger.rows.clear()
    ledgers.touched(bucket)
    ledgers.heard(bucket.number, 8.0)
    assert ledger.heard_s == [7.0]
    again, _ = fake(ledgers.get(divided("new")))
    assert (again.number, len(ledgers)) == (bucket.number, 2)
    assert ledgers.awaits[again.number]
    ledgers.close()


async def test_an_earlier_moment_goes_before_a_later_one() -> None:
    """What waits for the later one is not told of twice."""
    ledgers, _ = all_of()
    (late, late_ledger), (soon, soon_ledger) = fake(ledgers.get(divided("late"))), fake(ledgers.get(divided("soon")))
    now_s = asyncio.get_running_loop().time()
    late_ledger.next_tick_s = now_s + 3600
    ledgers.touched(late)
    soon_ledger.next_tick_s = now_s + 0.01
    ledgers.touched(soon)
    await until(lambda: soon_ledger.ticks)
    assert late_ledger.ticks == []
    late_ledger.next_tick_s = now_s + 0.2
    ledgers.touched(late)
    late_ledger.next_tick_s = now_s
    ledgers.touched(late)
    await until(lambda: late_ledger.ticks)
    soon_ledger.next_tick_s = now_s + 0.25
    ledgers.touched(soon)
    await until(lambda: len(soon_ledger.ticks) == 2)
    assert len(late_ledger.ticks) == 1
    ledgers.close()
    late_ledger.next_tick_s = now_s
    ledgers.touched(late)


async def test_ledgers_take_turns_with_everybody_else(monkeypatch: Any) -> None:
    """No more than a slice of work in one turn of the loop."""
    ledgers, _ = all_of()
    found = [fake(ledgers.get(divided(str(number)))) for number in range(5)]
    for bucket, _ in found:
        ledgers.touched(bucket)
    moments = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(moments) * ledgers_module.SLICE_S)
    turns = 0
    while not all(ledger.ticks for _, ledger in found):
        await asyncio.sleep(0)
        turns += 1
        assert sum(len(ledger.ticks) for _, ledger in found) <= turns
    ledgers.close()


async def test_after_a_slice_the_others_come_first(monkeypatch: Any) -> None:
    """As long as it took; what comes meanwhile waits as well."""
    ledgers, _ = all_of()
    (one, ledger), (other, other_ledger) = fake(ledgers.get(divided("x"))), fake(ledgers.get(divided("y")))
    moments = iter((0.0, 1000.0))
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    now_s = asyncio.get_running_loop().time()
    ledgers.touched(one)
    ledgers.touched(other)
    await until(lambda: ledger.ticks)
    ledgers.wake(one)
    assert other_ledger.ticks == []
    assert ledgers._timer_s >= now_s + 2000
    ledgers.close()


async def test_of_many_rows_each_ledger_plans_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan looks at all rows of its ledger, so what all plans cost does not grow with them; yet it comes."""
    monkeypatch.setattr(ledgers_module, "ROWS_PER_S", 10)
    for rows, every_s in ((30, 3), (1_000, ledgers_module.PLAN_EVERY_S_MAX)):
        ledgers, _ = all_of(rows=rows)
        bucket, ledger = fake(ledgers.get(divided()))
        ledgers.touched(bucket)
        await until(lambda ledger=ledger: ledger.ticks)
        assert ledger.plan_every_s == every_s
        ledgers.close()


async def test_ledgers_of_a_domain_are_bounded() -> None:
    """One that is left makes room; other domains are not concerned, and a limit keeps its ledger."""
    ledgers, _ = all_of(domain_max=1)
    bucket, ledger = fake(ledgers.get(divided("x")))
    assert ledgers.get(divided("x")) is bucket
    assert ledgers.get(divided("y")) is None
    assert ledgers.get(divided("y", "e")) is not None
    assert len(ledgers) == 2
    ledger.rows = {}
    ledgers.touched(bucket)
    ledgers.touched(bucket)
    assert [each.domain for each in ledgers] == ["e"]
    assert ledgers.get(divided("y")) is not None
    ledgers.close()


async def test_a_limit_that_changed_is_another_from_now_on() -> None:
    """Its ledger goes on with what it knows."""
    ledgers, _ = all_of()
    before = divided()
    bucket, ledger = fake(ledgers.get(before))
    after = divided()
    after.options = LedgerOptions(7.0)
    assert ledgers.get(after) is bucket
    assert ledger.options.limit_per_s == 7.0
    assert bucket.divided is after
    ledgers.close()


async def test_the_metrics_hear_of_the_envoys_of_this_replica() -> None:
    """Once in 5 s what changed, and at the end that nothing is left."""
    told: list[tuple[str, list[int]]] = []
    ledgers, _ = all_of(tell=lambda key, numbers: told.append((key, numbers)))
    bucket, ledger = fake(ledgers.get(divided()))
    ledgers.touched(bucket)
    await until(lambda: told)
    assert told == [("d.user", [60, 120, 0, 0, 2, 1, 0])]
    ledger.rows = {}
    ledgers.touched(bucket)
    assert [sum(pair) for pair in zip(told[0][1], told[1][1], strict=True)] == [0] * 7
    ledgers.close()


async def test_one_ledger_less_leaves_the_others_of_its_domain() -> None:
    """They still count against the bound."""
    ledgers, _ = all_of(domain_max=2)
    bucket, ledger = fake(ledgers.get(divided("x")))
    assert ledgers.get(divided("y")) is not None
    ledger.rows = {}
    ledgers.touched(bucket)
    assert (len(ledgers), ledgers.get(divided("z")) is None, len(ledgers)) == (1, False, 2)
    assert ledgers.get(divided("x")) is None
    ledgers.close()


async def test_how_late_reports_are_taken_is_told_at_once_and_soon_forgotten() -> None:
    """Ledgers wait longer for who may be waiting here, and plan no oftener than reports come."""
    ledgers, _ = all_of()
    bucket, ledger = fake(ledgers.get(divided()))
    for waits, at_least_s, at_most_s in (([0.5, 0.0], 0.4, 0.5), ([60.0], 5.0, 5.0), ([0.0] * 200, 0.0, 0.01)):
        for waited_s in waits:
            ledgers.waited(waited_s)
        ledgers.wake(bucket)
        ticks = len(ledger.ticks)
        await until(lambda before=ticks: len(ledger.ticks) > before)
        assert at_least_s <= ledger.late_s <= at_most_s
        assert ledger.plan_every_s == ledgers_module.PLAN_EVERY_S + ledger.late_s
    ledgers.close()
