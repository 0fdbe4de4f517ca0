"""Who should have been heard of."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.quota.leases import overdue_at
from ratelimit.quota.options import AckMode, LedgerOptions
from ratelimit.quota.row import Row
from ratelimit.quota.watch import Watch

OPTIONS = LedgerOptions(1.0)
moments = st.floats(0, 100)
rows = st.builds(Row, envoy=st.uuids().map(str), last=moments, probed=moments, pend=moments | st.just(inf))


def watching(*fleet: Row) -> tuple[Watch, dict[str, Row]]:
    """A watch of these rows."""
    watch = Watch()
    watch.begin_anew(fleet, -inf)
    return watch, {row.envoy: row for row in fleet}


@given(st.lists(rows, max_size=5), st.sampled_from(AckMode))
def test_nobody_is_overdue_before_the_quiet_is_over(fleet: list[Row], ack: AckMode) -> None:
    """It may be too early, never too late; those that are silent are looked after at once."""
    options = LedgerOptions(1.0, ack=ack)
    watch, _ = watching(*fleet)
    quiet_s = watch.quiet_until(fleet, 0.0, options)
    assert all(overdue_at(row, options) >= quiet_s for row in fleet)
    watch.look_at_all(0.0)
    assert watch.quiet_until([*fleet, Row("f", silent=True)], 0.0, options) == -inf


@given(st.lists(rows, min_size=1, max_size=5), st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=9))
def test_what_was_known_of_the_quiet_holds_while_reports_come(fleet: list[Row], events: list[tuple[int, bool]]) -> None:
    """All rows are not looked at again: reports and acknowledgements only move it away, and what is asked is known."""
    watch, _ = watching(*fleet)
    now_s = 0.0
    for place, asked in events:
        now_s += 1.0
        row = fleet[place % len(fleet)]
        if asked:
            watch.ask(row, now_s, OPTIONS)
            assert watch.next_s <= now_s + OPTIONS.tuning.ack_within_s
        else:
            row.last, row.pend = max(row.last, now_s), inf
        quiet_s = watch.quiet_until(fleet, now_s, OPTIONS)
        assert all(overdue_at(row, OPTIONS) >= quiet_s for row in fleet)


def test_who_has_answered_is_not_waited_for() -> None:
    """Nor is a row that is gone."""
    row = Row("e", last=10.0)
    watch, _ = watching(row)
    watch.ask(row, 10.0, OPTIONS)
    assert watch.quiet_until([row], 10.0, OPTIONS) == 13.0
    row.pend = inf
    assert watch.quiet_until([row], 10.5, OPTIONS) == 18.0


def test_a_service_that_is_late_waits_longer() -> None:
    """What an Envoy has sent may wait here: neither its report nor its answer is missed yet."""
    asked, quiet = Row("a", last=10.0), Row("b", last=10.0)
    watch, fleet = watching(asked, quiet)
    watch.late_s = 2.0
    watch.ask(asked, 10.0, OPTIONS)
    assert watch.quiet_until([asked, quiet], 10.0, OPTIONS) == 15.0
    assert list(watch.due(fleet, 14.9, OPTIONS, "")) == []
    assert list(watch.due(fleet, 19.9, OPTIONS, "")) == [asked]
    assert list(watch.due(fleet, 20.0, OPTIONS, "")) == [asked, quiet]


def test_each_is_dealt_with_before_the_next() -> None:
    """One that is overdue and falls silent may be over at once; what it held then is nobody's."""
    overdue, over, waits = Row("a", last=1.0), Row("b", last=90.0, exp=91.0, silent=True), Row("c", last=99.0)
    watch, fleet = watching(overdue, over, waits)
    found = []
    for row in watch.due(fleet, 100.0, OPTIONS, ""):
        found.append((row.envoy, row.silent))
        if row.silent:
            del fleet[row.envoy]
        else:
            row.fall_silent()
    assert found == [("a", False), ("a", True), ("b", True)]
    assert list(fleet) == ["c"]
    assert watch.next_s == 103.0
