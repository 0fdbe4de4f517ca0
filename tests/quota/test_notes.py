"""Reports that are reckoned later."""

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.quota.assignment import Push
from ratelimit.quota.ledger import Ledger
from ratelimit.quota.notes import Notes
from ratelimit.quota.options import AckMode, LedgerOptions, Tuning
from ratelimit.quota.row import Row

TUNING = Tuning()
ENVOYS = 3


def test_a_note_is_reckoned_as_of_when_it_came() -> None:
    """What came to the row until then, and what it counted."""
    notes, row = Notes(), Row("e", tokens=600, since=2.0, last=1.0, offered=5.0)
    assert not notes
    notes.take(row, 40, 10, 5, 6.0)
    assert notes
    assert row.noted
    assert notes.reckon(TUNING, 12.0) == [row]
    assert (row.estimate, row.denied, row.fresh, row.noted) == (10.0, 2.0, False, False)
    assert (row.last, row.since, row.offered, row.exp) == (6.0, 6.0, 0.0, 18.0)
    assert notes.reckon(TUNING, 12.0) == []


def test_what_is_forgotten_was_not_said() -> None:
    """The row may note another."""
    notes, row = Notes(), Row("e")
    notes.take(row, 1, 0, 5, 6.0)
    notes.clear()
    assert not notes
    assert not row.noted
    assert row.fresh


events = st.tuples(
    st.sampled_from(["report"] * 8 + ["ack"] * 3 + ["tick"] * 3 + ["close", "look", "weigh"]),
    st.integers(0, ENVOYS - 1),
    st.integers(-1, 900) | st.integers(0, 3),
    st.integers(0, 500) | st.just(0),
    st.sampled_from([0, 1, 5, 5, 5, 5, 5, 4000]),
    st.sampled_from([0.0, 0.01, 0.05, 0.2, 1.0, 5.0, 7.5]),
)


@given(st.lists(events, max_size=60), st.sampled_from(AckMode))
def test_what_is_reckoned_later_comes_to_the_same(
    happens: list[tuple[str, int, int, int, int, float]], ack: AckMode
) -> None:
    """Whatever comes between: the answers, what a tick says, and the rows after it."""
    options = LedgerOptions(100.0, ack=ack)
    later, at_once = Ledger(options), Ledger(options)
    waiting: dict[int, Push] = {}
    now_s = 0.0
    for what, place, allowed, denied, elapsed_s, step_s in happens:
        now_s += step_s
        envoy, said = f"e{place}", []
        if what == "report":
            answer = later.take_report(envoy, allowed, denied, elapsed_s, now_s)
            at_once.report(envoy, allowed, denied, elapsed_s, now_s)
            assert at_once.reply(envoy, now_s) == answer
            said = [] if answer is None else [answer]
            assert later.next_tick_s == at_once.next_tick_s
        elif what == "tick":
            said = later.tick(now_s)
            assert at_once.tick(now_s) == said
            assert [row.pack() for row in later.rows.values()] == [row.pack() for row in at_once.rows.values()]
            assert (later.head, later.changed, later.next_tick_s) == (
                at_once.head,
                at_once.changed,
                at_once.next_tick_s,
            )
        else:
            for ledger in (later, at_once):
                _happen(ledger, what, envoy, waiting.get(place), now_s)
        if what == "look":
            assert later.shares(now_s) == at_once.shares(now_s)
            assert later.totals("", now_s) == at_once.totals("", now_s)
        waiting.update({int(push.envoy[1:]): push for push in said})


def _happen(ledger: Ledger, what: str, envoy: str, push: Push | None, now_s: float) -> None:
    if what == "close":
        ledger.closed(envoy, now_s)
    elif what == "weigh":
        ledger.weigh(envoy, 2.0)
    elif what == "ack" and push is not None:
        ledger.acked(push.envoy, push.seq, now_s)
