"""A ledger that replicas share."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from ratelimit.errors import StoreError
from ratelimit.quota.assignment import Abandon, Assign, Push
from ratelimit.quota.events import EVENTS_MAX
from ratelimit.quota.ledger_store import NOTHING, Commit, CommitResult, Committed, Outdated, SharedPlace
from ratelimit.quota.options import LedgerOptions
from ratelimit.quota.pace import SYNC_EVERY_S
from ratelimit.quota.row import Row
from ratelimit.quota.shared_ledger import OUT_OF_TOUCH_S, RETRY_S, SharedLedger
from tests.quota.replicas import WITH_REPLICAS, FarLedgers, simulate_replicas
from tests.quota.scenarios import SCENARIOS

LIMIT = 100.0
OPTIONS = LedgerOptions(LIMIT)


class Asked:
    """A store that a test answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Commit, Callable[[CommitResult], None]]] = []
        self.version = NOTHING
        self.now_s = 1000.0

    def commit(self, commit: Commit, done: Callable[[CommitResult], None]) -> None:
        """Keep it."""
        self.asked.append((commit, done))

    def answer(self, result: CommitResult | None = None) -> Commit:
        """Answer the oldest: applied, unless another result is given."""
        commit, done = self.asked.pop(0)
        if result is None:
            self.version += 1
            result = Committed(self.version if commit.rows else commit.version, self.now_s)
        done(result)
        return commit


class Replica:
    """One replica on a store that a test answers."""

    def __init__(self, **arguments: Any) -> None:
        self.store = Asked()
        self.woken = 0
        self.answers: list[Push] = []
        self.ledger = SharedLedger(OPTIONS, SharedPlace(self.store, b"bucket", "here"), wake=self._wake, **arguments)

    def _wake(self) -> None:
        self.woken += 1

    def report(self, envoy: str, allowed: int, denied: int, elapsed_s: float, now_s: float) -> None:
        """Its answer counts as sent with the next tick."""
        push = self.ledger.take_report(envoy, allowed, denied, elapsed_s, now_s)
        self.answers += [] if push is None else [push]

    def tick(self, now_s: float) -> list[Push]:
        """What is sent at a moment, and was since the one before."""
        answers, self.answers = self.answers, []
        return answers + self.ledger.tick(now_s)

    def at(self, now_s: float, *, answers: bool = True) -> list[Push]:
        """The same and, where the store answers, what is sent right after."""
        pushes = self.tick(now_s)
        while answers and self.store.asked:
            self.store.now_s = 1000.0 + now_s
            self.store.answer()
        return pushes + (self.tick(now_s) if answers else [])

    def settled(self) -> Push:
        """With one Envoy that reports, at 5 s; returns what it was told last."""
        self.report("e", 1, 0, 0, 0.0)
        (push,) = self.at(0.0)
        self.ledger.acked("e", push.seq, 0.1)
        self.at(0.2)
        self.report("e", 50, 0, 5, 5.0)
        (push,) = self.at(5.0)
        return push


def test_a_push_waits_for_its_commit() -> None:
    """Before, the store does not know what is held; the first question tells what time it is there."""
    replica = Replica()
    replica.report("e", 1, 0, 0, 1.0)
    assert replica.ledger.next_tick_s == 1.0
    assert replica.tick(1.0) == []
    assert replica.store.answer().rows == {}
    assert replica.tick(1.05) == []
    assert set(replica.store.answer().rows) == {"e"}
    assert replica.woken == 1
    (push,) = replica.tick(1.06)
    assert push.action == Assign(20, 6_000, 12)
    assert "e" in replica.ledger.copy.rows
    assert len(replica.ledger.copy.rows) == 1
    assert not replica.ledger.empty


def test_a_reply_does_not_wait_for_the_store() -> None:
    """The last assignment is sent again at once, and not a second time when the commit is answered."""
    replica = Replica()
    push = replica.settled()
    replica.report("e", 50, 0, 5, 10.0)
    assert replica.tick(10.0) == [push]
    replica.store.answer()
    assert replica.tick(10.05) == []


def test_what_happened_is_in_the_store_within_what_was_promised() -> None:
    """However seldom plans are: leases are written as lasting so much longer, and only then it takes so long."""
    replica = Replica()
    replica.settled()
    replica.ledger.plan_every_s = 5.0
    replica.report("e", 50, 0, 5, 10.0)
    replica.at(10.0)
    committed = []
    for tick in range(1, 500):
        replica.report("e", 1, 0, 1, 10 + tick / 20)
        replica.tick(10 + tick / 20)
        if replica.store.asked:
            committed.append(10 + tick / 20)
            replica.store.answer()
    waits = [after - before for before, after in pairwise(committed)]
    assert waits[:50] == pytest.approx([0.2] * 50, abs=0.06)
    assert waits[-3:] == pytest.approx([SYNC_EVERY_S] * 3, abs=0.06)
    assert committed[waits.index(max(waits))] >= 10 + OPTIONS.tuning.ttl_s
    row = replica.ledger.copy.rows["e"]
    assert row.exp - row.last == pytest.approx(OPTIONS.tuning.ttl_s + SYNC_EVERY_S + 0.25)


def test_a_report_is_answered_without_a_tick() -> None:
    """By what was sent last, once; not where nothing was, and not by whom others may have given up."""
    replica = Replica()
    push = replica.settled()
    assert replica.ledger.take_report("e", 50, 0, 5, 10.0) == push
    assert replica.tick(10.0) == []
    replica.store.answer()
    assert replica.tick(10.05) == []
    assert replica.ledger.take_report("f", 1, 0, 0, 10.1) is None
    assert replica.ledger.take_report("e", 50, 0, 5, 10.0 + OUT_OF_TOUCH_S) is None


def test_a_reply_that_was_acknowledged_is_not_asked_about() -> None:
    """As often as it is sent again, before the store has heard of that and after."""
    replica = Replica()
    replica.report("e", 1, 0, 0, 0.0)
    (push,) = replica.at(0.0)
    assert push.asks
    replica.report("e", 1, 0, 1, 0.04)
    assert [each.asks for each in replica.tick(0.05)] == [True]
    replica.ledger.acked("e", push.seq - 1, 0.1)
    replica.ledger.acked("e", push.seq, 0.1)
    replica.report("e", 1, 0, 1, 0.1)
    assert [(each.seq, each.asks) for each in replica.tick(0.1)] == [(push.seq, False)]
    replica.at(0.3)
    replica.report("e", 1, 0, 1, 0.4)
    assert [each.asks for each in replica.at(0.4)][:1] == [False]


def test_while_the_store_is_away_leases_are_renewed() -> None:
    """And nothing is planned; what happened is told when it is back."""
    replica = Replica()
    push = replica.settled()
    for now_s in (10.0, 15.0, 20.0):
        replica.report("e", 50, 0, 5, now_s)
        pushes = replica.tick(now_s)
        replica.store.answer(StoreError("away"))
        assert pushes + replica.tick(now_s + 0.1) == [push]
        assert replica.ledger.next_tick_s == pytest.approx(now_s + RETRY_S)
    replica.report("e", 0, 0, 5, 25.0)
    replica.at(25.0)
    assert replica.ledger.copy.rows["e"].zero == 1


def test_who_was_out_of_touch_asks_before_it_renews() -> None:
    """Others may have given away what it sent."""
    replica = Replica()
    push = replica.settled()
    replica.report("e", 50, 0, 5, 13.0)
    assert replica.tick(13.0) == []
    replica.store.answer()
    assert replica.tick(13.05) == [push]


def test_a_lease_that_is_over_is_not_renewed_without_the_store() -> None:
    """Others may have released it, and given it away: the commit tells."""
    replica = Replica()
    push = replica.settled()
    for now_s in (9.0, 13.0):
        replica.ledger.weigh("e", now_s)
        replica.at(now_s)
    assert replica.ledger.take_report("e", 50, 0, 5, 16.9) == push
    replica.ledger.weigh("e", 1.0)
    for now_s in (22.0, 27.0):
        replica.ledger.weigh("e", now_s)
        replica.at(now_s)
    assert replica.ledger.take_report("e", 50, 0, 5, 28.9) is None
    assert replica.tick(28.9) == []
    assert [push.envoy for push in replica.at(28.95)] == ["e"]


def test_what_happened_meanwhile_is_bounded() -> None:
    """Only the last of each kind is kept for each Envoy where there is too much."""
    replica = Replica()
    replica.settled()
    replica.tick(6.0)
    for number in range(EVENTS_MAX + 10):
        replica.report("e", 1, 0, 5, 6.0 + number / 1_000)
        replica.ledger.weigh("e", 2.0)
    replica.at(7.5)
    assert replica.ledger.copy.rows["e"].weight == 2.0
    replica.ledger.weigh("e", 2.0)


def test_what_others_decided_is_sent_by_whom_it_concerns() -> None:
    """A row whose number is not the one that was sent."""
    ledgers = FarLedgers()
    one, two = (SharedLedger(OPTIONS, SharedPlace(ledgers, b"b", name)) for name in ("one", "two"))
    sent: dict[str, list[Push]] = {"a": [], "b": []}
    for step in range(1, 400):
        now_s = 0.05 * step
        ledgers.step(now_s)
        for ledger, envoy, since in ((one, "a", 1), (two, "b", 100)):
            if step == since or (step > since and (step - since) % 100 == 0):
                answer = ledger.take_report(envoy, *((1, 0, 0) if step == since else (500, 500, 5)), now_s)
                sent[envoy] += [] if answer is None else [answer]
            for push in ledger.tick(now_s):
                sent[push.envoy].append(push)
                ledger.acked(push.envoy, push.seq, now_s)
    rates = [push.action.tokens_per_fill / 60 for push in sent["a"] if isinstance(push.action, Assign)]
    assert rates[0] == LIMIT
    assert rates[-1] == pytest.approx(LIMIT / 2, rel=0.1)
    assert one.shares(20.0).hold <= LIMIT
    assert {each.replica for each in two.shares(20.0).envoys} == {"one", "two"}


def test_who_comes_second_starts_anew() -> None:
    """On the rows of the other, with what happened here; after some tries it waits."""
    replica = Replica()
    replica.settled()
    other = Replica().ledger
    other.take_report("o", 1, 0, 0, 5.0)
    other.copy.report("o", 1, 0, 0, 1006.0)
    row = other.copy.rows["o"]
    row.owner, row.tokens, row.hold = "there", 60, 1.0
    head = replica.ledger.copy.head.pack()
    replica.report("e", 50, 0, 5, 6.0)
    replica.tick(6.0)
    tries = 0
    while replica.store.asked:
        tries += 1
        replica.store.answer(Outdated(70 + tries, 1006.0, {"o": row.pack()}, head, whole=False))
    assert tries == 4
    assert replica.ledger.next_tick_s <= 6.2
    replica.tick(6.3)
    assert "o" in replica.ledger.copy.rows
    assert "e" in replica.store.answer().rows


def test_rows_that_nobody_can_read_are_none() -> None:
    """A store may hold anything; a head that is none begins anew."""
    replica = Replica()
    replica.report("e", 1, 0, 0, 0.0)
    replica.tick(0.0)
    replica.store.answer(Outdated(7, 1000.0, {"odd": b"?"}, b"?", whole=True))
    assert "odd" not in replica.ledger.copy.rows
    assert "e" in replica.store.answer().rows


def test_who_went_to_another_replica_and_came_back_is_not_told_what_was() -> None:
    """What the other one told it holds."""
    replica = Replica()
    push = replica.settled()
    row = Row.unpack("e", replica.ledger.copy.rows["e"].pack())
    row.owner, row.tokens, row.hold, row.seq = "there", 60, 1.0, row.seq + 1
    replica.ledger.weigh("e", 2.0)
    replica.tick(6.0)
    replica.store.answer(Outdated(70, 1006.0, {"e": row.pack()}, replica.ledger.copy.head.pack(), whole=False))
    replica.at(6.1)
    replica.report("e", 5, 0, 5, 10.0)
    pushes = replica.at(10.0)
    assert [each.seq for each in pushes] != [push.seq]
    assert all(each.seq > push.seq for each in pushes)


def test_what_was_before_an_envoy_went_elsewhere_is_void() -> None:
    """It could not be committed then, and another replica has told it something since."""
    replica = Replica()
    replica.settled()
    row = Row.unpack("e", replica.ledger.copy.rows["e"].pack())
    row.owner, row.last = "there", 1009.05
    replica.report("e", 1, 0, 0, 9.0)
    replica.tick(9.0)
    replica.store.answer(Outdated(70, 1009.1, {"e": row.pack()}, replica.ledger.copy.head.pack(), whole=False))
    assert replica.ledger.copy.rows["e"].owner == "there"
    assert replica.ledger.copy.rows["e"].hold == row.hold


def test_an_abandoned_bucket_is_not_told_the_old_assignment() -> None:
    """Though a report of it may still be on its way."""
    replica = Replica()
    replica.settled()
    pushes = []
    for now_s in (10.0, 15.0):
        replica.report("e", 0, 0, 5, now_s)
        pushes = replica.at(now_s)
    assert pushes[-1].action == Abandon()
    replica.report("e", 0, 0, 5, 15.1)
    assert replica.at(15.3) == []
    replica.ledger.acked("e", pushes[-1].seq, 15.4)
    replica.at(15.6)
    assert replica.ledger.empty


def test_an_ended_stream_is_told_nothing_more() -> None:
    """What waits for it is dropped."""
    replica = Replica()
    replica.settled()
    replica.report("f", 1, 0, 0, 10.0)
    replica.report("e", 50, 0, 5, 10.0)
    replica.answers.clear()
    for envoy in ("e", "f"):
        replica.ledger.closed(envoy, 10.0)
    assert replica.at(10.0) == []
    assert replica.ledger.copy.rows["e"].gone


def test_after_an_outage_ended_streams_are_waited_for() -> None:
    """Their Envoys may have come back to a replica that could not tell."""
    replica = Replica()
    replica.settled()
    replica.ledger.closed("e", 6.0)
    replica.tick(6.0)
    replica.store.answer(StoreError("away"))
    replica.at(7.1)
    replica.at(12.5)
    assert "e" in replica.ledger.copy.rows
    replica.at(5 + 12 + 1.8)
    assert "e" not in replica.ledger.copy.rows


def test_a_store_that_lost_everything_gets_back_what_is_in_force() -> None:
    """And the replicas learn for a while, as others may have sent what is not there."""
    replica = Replica()
    replica.settled()
    replica.report("e", 50, 0, 5, 10.0)
    replica.tick(10.0)
    replica.store.answer(Outdated(NOTHING, 1010.0, {}, b"", whole=True))
    assert "e" in replica.store.answer().rows
    assert replica.ledger.copy.head.learning


def test_a_lease_that_is_over_is_not_put_back() -> None:
    """Nothing of it can be in force."""
    replica = Replica()
    replica.settled()
    replica.report("e", 50, 0, 5, 30.0)
    replica.tick(30.0)
    replica.store.answer(Outdated(99, 1030.0, {}, replica.ledger.copy.head.pack(), whole=True))
    assert replica.ledger.copy.rows["e"].hold == LIMIT  # a new row, with a first assignment of its own
    assert replica.ledger.copy.rows["e"].seq == 1


def test_two_replicas_do_as_well_as_one() -> None:
    """In the world, by the goals of one."""
    outcome, replicas = simulate_replicas(SCENARIOS["churn"], LedgerOptions(1_000))
    assert outcome.in_force <= 1 + 1e-9
    assert outcome.overshoot <= 0.02
    assert outcome.use >= 0.96
    assert replicas.store.commits < 120 * 20


@pytest.mark.parametrize("name", WITH_REPLICAS)
def test_what_happens_to_replicas_and_stores_is_survived(name: str) -> None:
    """Nothing beyond the limit is in force at any step, and nearly all is used."""
    outcome, _ = simulate_replicas(SCENARIOS["skewed"], LedgerOptions(1_000), WITH_REPLICAS[name])
    assert outcome.in_force <= 1 + 1e-9
    assert outcome.overshoot <= 0.02
    assert outcome.use >= 0.95


def test_without_names_old_leases_are_waited_for() -> None:
    """The Envoys of a replica that died come back as others."""
    killed = WITH_REPLICAS["replica killed"]
    outcome, _ = simulate_replicas(SCENARIOS["skewed"], LedgerOptions(1_000), killed, named=False)
    assert outcome.in_force <= 1 + 1e-9
    assert outcome.use >= 0.85
