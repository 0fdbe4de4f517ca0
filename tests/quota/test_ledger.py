"""One limit over its Envoys."""

from math import inf
from typing import Any

import pytest

from ratelimit.quota.assignment import Abandon, Assign, Probe, Push
from ratelimit.quota.ledger import TOKENS_MAX, Ledger
from ratelimit.quota.options import GAP_S, AckMode, LedgerOptions

LIMIT = 100.0


def made(limit: float = LIMIT, learn_until_s: float = -inf, **options: Any) -> Ledger:
    """A ledger without Envoys."""
    return Ledger(LedgerOptions(limit, **options), learn_until_s)


def born(ledger: Ledger, envoy: str, now_s: float = 0.0) -> Push:
    """What an Envoy is told at its first request."""
    ledger.report(envoy, 1, 0, 0, now_s)
    return told(ledger, envoy, now_s)


def told(ledger: Ledger, envoy: str, now_s: float) -> Push:
    """What one Envoy is told in a tick."""
    (push,) = [push for push in ledger.tick(now_s) if push.envoy == envoy]
    return push


def rate_of(push: Push) -> float:
    """The rate of an assignment."""
    assert isinstance(push.action, Assign)
    return push.action.tokens_per_fill / push.action.fill_interval_s


def settle(ledger: Ledger, pushes: list[Push], now_s: float) -> None:
    """All are acknowledged."""
    for push in pushes:
        ledger.acked(push.envoy, push.seq, now_s)


def settled(ledger: Ledger, envoys: int, reports: int = 3) -> float:
    """Envoys that report 10 requests per second each; returns the moment."""
    for envoy in range(envoys):
        ledger.report(f"e{envoy}", 1, 0, 0, 0.0)
    now_s = 0.0
    for turn in range(1, 1 + 100 * reports):
        now_s = 0.05 * turn
        if turn % 100 == 0:
            for envoy in range(envoys):
                ledger.report(f"e{envoy}", 50, 0, 5, now_s)
        settle(ledger, ledger.tick(now_s), now_s)
    return now_s


def test_the_first_envoy_gets_the_limit() -> None:
    """There is nobody to share with."""
    push = born(made(), "e")
    assert rate_of(push) == LIMIT
    assert push.action == Assign(20, 6_000, 12)


def test_what_is_held_is_not_given() -> None:
    """The second Envoy is denied until the first one's cut is acknowledged."""
    ledger = made()
    born(ledger, "a")
    ledger.report("b", 1, 0, 0, 0.1)
    assert ledger.tick(0.1)[-1].action == Assign(1, 0, 12)
    (cut,) = [push for push in ledger.tick(0.3) if push.envoy == "a"]
    assert rate_of(cut) == 50
    assert ledger.rows["a"].hold == LIMIT
    assert ledger.tick(0.5) == []
    ledger.acked("a", cut.seq, 0.51)
    (given,) = ledger.tick(0.55)
    assert given.envoy == "b"
    assert rate_of(given) == pytest.approx(50, abs=1)


def test_an_old_acknowledgement_frees_nothing() -> None:
    """Only that of the last push tells what is in force."""
    ledger = made()
    first = born(ledger, "a")
    ledger.report("b", 1, 0, 0, 0.1)
    ledger.tick(0.3)
    ledger.acked("a", first.seq, 0.4)
    ledger.acked("nobody", 1, 0.4)
    assert ledger.rows["a"].hold == LIMIT


def test_a_report_renews_the_same_assignment() -> None:
    """Envoy keeps its tokens then; an acknowledgement of that tells nothing new, so none is asked for."""
    ledger = made()
    now_s = settled(ledger, 2)
    before = (ledger.rows["e0"].tokens, ledger.rows["e0"].burst, ledger.rows["e0"].seq)
    ledger.report("e0", 50, 0, 5, now_s + 5)
    push = told(ledger, "e0", now_s + 5)
    assert isinstance(push.action, Assign)
    assert (push.action.tokens_per_fill, push.action.max_tokens, push.seq, push.asks) == (*before, False)
    ledger.changed.clear()
    ledger.acked("e0", push.seq, now_s + 5.1)
    assert not ledger.changed


def test_a_report_is_answered_at_once_by_what_holds() -> None:
    """A plan that is due does not hold it up, and the next tick says nothing more of it."""
    ledger = made()
    now_s = settled(ledger, 2) + 5
    ledger.report("e0", 50, 0, 5, now_s)
    push, row = ledger.reply("e0", now_s), ledger.rows["e0"]
    assert push == Push("e0", row.seq, Assign(row.burst, row.tokens, 12), asks=False)
    assert row.exp == now_s + 12
    assert ledger.next_tick_s <= now_s
    assert ledger.tick(now_s) == []
    ledger.report("e0", 50, 0, 5, now_s + 0.1)
    assert ledger.reply("e0", now_s + 0.1) is push
    assert ledger.next_tick_s > now_s + 0.1


def test_a_reply_asks_about_what_is_not_acknowledged() -> None:
    """Until it is; then the renewals are of what holds by then."""
    ledger = made()
    push = born(ledger, "e")
    ledger.report("e", 50, 0, 5, 0.16)
    again = ledger.reply("e", 0.16)
    assert again is not None
    assert (again.seq, again.action, again.asks) == (push.seq, push.action, True)
    ledger.acked("e", again.seq, 0.17)
    ledger.report("e", 50, 0, 5, 0.18)
    assert ledger.reply("e", 0.18) == Push("e", push.seq, push.action, asks=False)


def test_a_reply_says_nothing_that_a_tick_is_to_decide() -> None:
    """What newcomers get, who is told to forget the bucket, and what is on its way already."""
    ledger = made()
    now_s = settled(ledger, 2)
    ledger.report("new", 1, 0, 0, now_s + 0.1)
    assert ledger.reply("new", now_s + 0.1) is None
    settle(ledger, ledger.tick(now_s + 0.2), now_s + 0.2)
    for turn in (1, 2):
        ledger.report("e0", 0, 0, 5, now_s + 5 * turn)
        assert (ledger.reply("e0", now_s + 5 * turn) is None) is (turn == 2)
    assert isinstance(told(ledger, "e0", now_s + 10).action, Abandon)
    ledger.report("e0", 0, 0, 5, now_s + 15)
    assert ledger.reply("e0", now_s + 15) is None


def test_what_is_not_acknowledged_is_asked_about_again() -> None:
    """With each renewal, until it is."""
    ledger = made()
    push = born(ledger, "e")
    assert push.asks
    ledger.report("e", 50, 0, 5, 0.5)
    renewed = told(ledger, "e", 0.5)
    assert renewed.asks
    ledger.acked("e", renewed.seq, 0.6)
    ledger.report("e", 50, 0, 5, 0.7)
    assert [(each.seq, each.asks) for each in ledger.tick(0.7)] == [(renewed.seq, False)]


def test_who_does_not_report_is_asked_and_given_up() -> None:
    """A PING tells whether it is there; its lease is waited for, and nothing is sent to it."""
    ledger = made()
    now_s = settled(ledger, 2)
    ledger.tick(now_s + 4)
    (probe,) = [push for push in ledger.tick(now_s + 8) if push.envoy == "e1"]
    assert probe.action == Probe()
    assert not ledger.rows["e1"].silent
    ledger.report("e0", 50, 0, 5, now_s + 8.1)
    ledger.tick(now_s + 11)
    assert ledger.rows["e1"].silent
    ledger.report("e0", 50, 0, 5, now_s + 11.1)
    assert [push.envoy for push in ledger.tick(now_s + 11.1)] == ["e0"]
    ledger.tick(now_s + 12.4)
    assert "e1" in ledger.rows
    ledger.tick(now_s + 13)
    assert list(ledger.rows) == ["e0"]


def test_who_answers_a_probe_keeps_its_lease() -> None:
    """Its reports may be lost, but it is there."""
    ledger = made()
    now_s = settled(ledger, 1)
    ledger.tick(now_s + 4)
    probe = told(ledger, "e0", now_s + 8)
    assert probe.action == Probe()
    ledger.acked("e0", probe.seq, now_s + 8.1)
    renewed = told(ledger, "e0", now_s + 8.15)
    assert isinstance(renewed.action, Assign)
    assert ledger.rows["e0"].exp == now_s + 8.15 + 12


def test_a_late_acknowledgement_brings_a_silent_one_back() -> None:
    """It was only slow."""
    ledger = made()
    push = born(ledger, "e")
    ledger.tick(3.1)
    assert ledger.rows["e"].silent
    ledger.acked("e", push.seq, 3.2)
    assert not ledger.rows["e"].silent
    assert rate_of(told(ledger, "e", 3.2)) == LIMIT


def test_an_ended_stream_frees_after_a_missed_report() -> None:
    """Whoever lives would have come back."""
    ledger = made()
    now_s = settled(ledger, 2)
    ledger.closed("e1", now_s + 1)
    ledger.closed("nobody", now_s + 1)
    ledger.acked("e1", ledger.rows["e1"].seq, now_s + 1)
    ledger.tick(now_s + 5.5)
    assert "e1" in ledger.rows
    ledger.tick(now_s + 6.1)
    assert "e1" not in ledger.rows
    assert len(ledger.rows) == 1


def test_an_idle_bucket_is_abandoned() -> None:
    """After two reports without a request; its hold is free when that is acknowledged."""
    ledger = made()
    now_s = settled(ledger, 1)
    ledger.report("e0", 0, 0, 5, now_s + 5)
    settle(ledger, ledger.tick(now_s + 5), now_s + 5)
    ledger.report("e0", 0, 0, 5, now_s + 10)
    push = told(ledger, "e0", now_s + 10)
    assert push.action == Abandon()
    ledger.report("e0", 0, 0, 0, now_s + 10.1)  # on its way before the abandoning arrived
    assert ledger.tick(now_s + 10.1) == []
    assert ledger.rows["e0"].hold > 0
    ledger.acked("e0", push.seq, now_s + 10.2)
    assert ledger.empty
    ledger.tick(now_s + 10.3)
    assert ledger.next_tick_s == inf


def test_a_bucket_that_is_born_again_holds_nothing() -> None:
    """Unless something is on its way there; what was before is not acknowledged for it."""
    ledger = made()
    now_s = settled(ledger, 1)
    before = ledger.rows["e0"].seq
    ledger.report("e0", 1, 0, 0, now_s + 2)
    assert ledger.rows["e0"].hold == 0
    ledger.acked("e0", before, now_s + 2)
    push = told(ledger, "e0", now_s + 2)
    assert rate_of(push) > 0
    ledger.report("e0", 1, 0, 0, now_s + 4)
    assert ledger.rows["e0"].hold == rate_of(push)


def test_reports_acknowledge_where_pings_cannot() -> None:
    """One that came a second after the push."""
    ledger = made(ack=AckMode.REPORT)
    born(ledger, "a")
    ledger.report("b", 1, 0, 0, 0.1)
    ledger.tick(0.1)
    ledger.tick(0.4)
    ledger.report("a", 5, 0, 0, 0.5)
    assert ledger.rows["a"].hold == LIMIT
    ledger.report("a", 50, 0, 4, 5.0)
    assert ledger.rows["a"].hold == ledger.rows["a"].rate == 50


def test_without_pings_who_does_not_report_is_silent() -> None:
    """There is nothing to ask with."""
    ledger = made(ack=AckMode.REPORT)
    born(ledger, "a")
    assert ledger.tick(4.0) == ledger.tick(8.0) == []
    assert ledger.rows["a"].silent


@pytest.mark.parametrize(("allowed", "confirmed"), [(60, 10.0), (0, 1.0)])
def test_while_the_state_is_lost_only_what_is_used_is_confirmed(allowed: int, confirmed: float) -> None:
    """Never more; whole seconds are told, so one more is reckoned."""
    ledger = made(learn_until_s=12.0)
    ledger.report("e", allowed, 0, 5, 1.0)
    push = told(ledger, "e", 1.0)
    assert rate_of(push) == confirmed
    settle(ledger, [push], 1.1)
    for now_s in (6.0, 11.0):
        ledger.report("e", 50, 0, 5, now_s)
        assert rate_of(told(ledger, "e", now_s)) == confirmed
        assert ledger.head.learning
    assert rate_of(told(ledger, "e", 12.0)) == LIMIT


def test_while_the_state_is_lost_newcomers_share_a_little() -> None:
    """Five parts of a hundred."""
    ledger = made(learn_until_s=12.0)
    rates = [rate_of(born(ledger, f"e{number}", 0.1 * number)) for number in range(20)]
    assert rates[0] > 0
    assert sum(rates) <= 5


def test_learning_ends_early_where_nobody_shows_an_old_assignment() -> None:
    """All who live have reported by then, or as many as are expected."""
    ledger = made(learn_until_s=12.0)
    born(ledger, "e")
    ledger.tick(5.9)
    assert ledger.head.learning
    ledger.tick(6.0)
    assert not ledger.head.learning
    ledger = made(learn_until_s=12.0, envoys_expected=1)
    born(ledger, "e")
    assert not ledger.head.learning


def test_after_a_gap_all_leases_run_anew() -> None:
    """A process that was stopped, or a clock that was set, must not release what is in force."""
    ledger = made()
    now_s = settled(ledger, 2)
    ledger.tick(now_s + 100)
    assert [row.exp for row in ledger.rows.values()] == [now_s + 112] * 2
    ledger.tick(now_s)
    assert [row.exp for row in ledger.rows.values()] == [now_s + 12] * 2
    assert ledger.next_tick_s < now_s + GAP_S


def test_an_envoy_that_holds_something_unknown_is_not_cut_short() -> None:
    """It came back under another name, and the row of its old one is there still."""
    ledger = made()
    now_s = settled(ledger, 1)
    ledger.closed("e0", now_s)
    ledger.report("again", 50, 0, 5, now_s + 5)
    assert ledger.rows["again"].unknown
    assert ledger.tick(now_s + 5) == []
    ledger.report("again", 50, 0, 5, now_s + 10)
    assert ledger.tick(now_s + 10) == []
    assert [push.envoy for push in ledger.tick(now_s + 12.6)] == ["again"]


def test_an_envoy_that_can_hold_nothing_is_a_newcomer() -> None:
    """No row is left that could be its old one: its first report was lost."""
    ledger = made()
    now_s = settled(ledger, 1)
    ledger.report("late", 900, 0, 5, now_s)
    assert not ledger.rows["late"].unknown


def test_absurd_reports_are_bounded() -> None:
    """Whatever an Envoy tells, nobody gets more than the limit."""
    ledger = made(limit=1e12)
    born(ledger, "e")
    ledger.report("e", -5, 10**30, -1, 5.0)
    ledger.report("e", 10**30, -5, 1e30, 10.0)
    ledger.tick(10.0)
    assert ledger.rows["e"].tokens == TOKENS_MAX
    assert ledger.rows["e"].estimate <= 1e12


def test_a_weight_is_a_share() -> None:
    """Of those who have reported; it is bounded."""
    ledger = made()
    born(ledger, "e")
    ledger.changed.clear()
    ledger.weigh("e", 1.0)
    ledger.weigh("nobody", 2.0)
    assert not ledger.changed
    ledger.weigh("e", 1e9)
    assert ledger.rows["e"].weight == 100
    assert "e" in ledger.changed


def test_a_bucket_grows_when_it_may() -> None:
    """What was small while bursts were dear is filled up at a report."""
    ledger = made(limit=1_000.0)
    now_s = settled(ledger, 2)
    ledger.rows["e0"].burst = 2
    ledger.report("e0", 50, 0, 5, now_s + 5)
    push = told(ledger, "e0", now_s + 5)
    assert isinstance(push.action, Assign)
    assert push.action.max_tokens > 3


def test_shares_are_those_of_the_rows() -> None:
    """For pages and metrics."""
    ledger = made()
    born(ledger, "e")
    shares = ledger.shares(1.0)
    assert (shares.hold, shares.envoys[0].envoy) == (LIMIT, "e")


def test_what_an_envoy_claims_to_use_is_confirmed_up_to_the_limit() -> None:
    """While the state is lost anybody may say anything."""
    ledger = made(learn_until_s=12.0)
    ledger.report("liar", 10**12, 0, 1, 0.0)
    assert rate_of(told(ledger, "liar", 0.0)) == LIMIT
