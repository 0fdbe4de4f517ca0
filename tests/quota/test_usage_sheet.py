"""Reports that are reckoned when their ledger plans."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.quota.assignment import Push
from ratelimit.quota.ledger import Ledger
from ratelimit.quota.options import GAP_S, AckMode, LedgerOptions
from ratelimit.quota.usage_sheet import CLOSED, COUNT_MAX, NOTED, NOTED_MAX, OPEN, UsageSheet, is_plain
from tests.quota.noting import Noting

ENVOYS = 3
STATES = [CLOSED, OPEN, OPEN, OPEN, NOTED]


def test_a_place_holds_what_nobody_asked_for_yet() -> None:
    """Two reports are one of a longer time; where something is to be said first none is taken."""
    sheet = UsageSheet()
    first, second = sheet.sit(1.0), sheet.sit(1.0)
    assert not sheet.take(first, 5, 1, 5, 6.0)
    sheet.states[first] = OPEN
    assert sheet.take(first, 5, 1, 5, 6.0)
    assert (sheet.states[first], sheet.states[second]) == (NOTED, CLOSED)
    assert (sheet.allowed[first], sheet.denied[first], sheet.elapsed_s[first], sheet.at_s[first]) == (5, 1, 5.0, 6.0)
    assert sheet.take(first, 9, 0, 6, 12.0)
    assert (sheet.allowed[first], sheet.denied[first], sheet.elapsed_s[first], sheet.at_s[first]) == (14, 1, 11.0, 12.0)
    assert not sheet.take(first, NOTED_MAX, 0, 5, 17.0)
    assert sheet.allowed[first] == 14


def test_what_was_told_may_be_anothers_after_its_lease() -> None:
    """Where a ledger is shared; by itself or with others, the sheet does not take it."""
    for lease_s, takes in ((12.0, False), (inf, True)):
        sheet = UsageSheet(lease_s)
        for _ in range(2):
            sheet.states[sheet.sit(1.0)] = OPEN
        assert sheet.take(0, 5, 1, 5, 13.0) is takes
        assert sheet.take_all(1, ([5], [1]), 5.0, 13.0) == takes


def test_a_place_is_used_again() -> None:
    """As if it were new."""
    sheet = UsageSheet()
    places = [sheet.sit(0.0) for _ in range(3)]
    sheet.states[1] = OPEN
    sheet.leave(1)
    assert (places, sheet.sit(7.0), sheet.sit(7.0)) == ([0, 1, 2], 1, 3)
    assert (sheet.states[1], sheet.at_s[1]) == (CLOSED, 7.0)


def test_only_what_tells_of_demand_is_plain() -> None:
    """A bucket that is new or unused, and what no Envoy counts are not."""
    assert is_plain(1, 0, 5, 5.0)
    assert is_plain(0, 1, 1, 0.0)
    odd = [(0, 0, 5, 5.0), (1, 0, 0, 5.0), (1, 0, 5, -0.1), (-1, 2, 5, 5.0), (1, -1, 5, 5.0)]
    assert not any(is_plain(*each) for each in [*odd, (COUNT_MAX + 1, 0, 5, 5.0), (1, 0, 4000, 5.0)])


@given(
    st.lists(
        st.tuples(st.sampled_from(STATES), st.sampled_from([0, 1, 7, NOTED_MAX + 1])),
        max_size=8,
    ),
    st.sampled_from([0.0, 1.0, 5.0, 4000.0]),
    st.sampled_from([0.0, 6.0, 20.0]),
)
def test_many_are_noted_as_each_by_itself(places: list[tuple[int, int]], elapsed_s: float, now_s: float) -> None:
    """Up to the first that is not; nothing else is changed."""
    together, each = UsageSheet(), UsageSheet()
    for sheet in together, each:
        for state, _ in ((OPEN, 0), *places):
            sheet.states[sheet.sit(1.0)] = state
    counts = [many for _, many in places]
    noted = together.take_all(1, (counts, [0] * len(counts)), elapsed_s, now_s)
    one_by_one = 0
    alike = [state for state, _ in places]
    while one_by_one < len(counts) and alike[one_by_one] == alike[0]:
        if not each.take(1 + one_by_one, counts[one_by_one], 0, elapsed_s, now_s):
            break
        one_by_one += 1
    assert noted == one_by_one
    for column in ("states", "allowed", "denied", "elapsed_s", "at_s"):
        assert getattr(together, column) == getattr(each, column)


events = st.tuples(
    st.sampled_from(["report"] * 8 + ["ack"] * 3 + ["tick"] * 3 + ["close", "weigh"]),
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
    """Whatever comes between: the answers, what a plan says, and the rows after it."""
    options = LedgerOptions(100.0, ack=ack)
    ledger, at_once = Ledger(options), Ledger(options)
    later = Noting(ledger)
    waiting: dict[int, Push] = {}
    now_s = 0.0
    for what, number, allowed, denied, elapsed_s, step_s in happens:
        now_s += step_s
        envoy = f"e{number}"
        if now_s - min(ledger.head.at, at_once.head.at) >= GAP_S:
            for each in (later, at_once):
                each.acked("nobody", 0, now_s)  # what is noted in such a gap is asked for before it is seen
        if what == "report":
            if later.holds(envoy):
                ledger.shares(now_s)  # two in one are not the same
            answer = later.take_report(envoy, allowed, denied, elapsed_s, now_s)
            assert at_once.take_report(envoy, allowed, denied, elapsed_s, now_s) == answer
            said = [] if answer is None else [answer]
        elif what == "tick":
            now_s = max(now_s, ledger.head.next_plan_s)
            assert ledger.shares(now_s) == at_once.shares(now_s)
            said = later.tick(now_s)
            assert at_once.tick(now_s) == said
            assert [row.pack() for row in ledger.rows.values()] == [row.pack() for row in at_once.rows.values()]
            assert (ledger.head, ledger.next_tick_s) == (at_once.head, at_once.next_tick_s)
        else:
            said = []
            for each in (later, at_once):
                _happen(each, what, envoy, waiting.get(number), now_s)
            if what == "weigh":
                ledger.weigh(envoy, 2.0)
        waiting.update({int(push.envoy[1:]): push for push in said})


def _happen(ledger: Noting | Ledger, what: str, envoy: str, push: Push | None, now_s: float) -> None:
    if what == "close":
        ledger.closed(envoy, now_s)
    elif what == "weigh" and isinstance(ledger, Ledger):
        ledger.weigh(envoy, 2.0)
    elif what == "ack" and push is not None:
        ledger.acked(push.envoy, push.seq, now_s)
