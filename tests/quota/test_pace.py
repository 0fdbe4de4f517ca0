"""How often replicas synchronise."""

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.quota.pace import SYNC_EVERY_S, Pace

LEASE_S = 12.0


def test_to_be_slower_is_promised_first() -> None:
    """For as long as leases last that were written under the old promise; a third promise begins that anew."""
    pace = Pace(0.2)
    assert (pace.sync_every_s, pace.unseen_s) == (0.2, 0.45)
    pace.follow(1.0, LEASE_S, 100.0)
    assert (pace.sync_every_s, pace.unseen_s) == (0.2, 1.25)
    pace.follow(5.0, LEASE_S, 106.0)
    assert (pace.sync_every_s, pace.unseen_s) == (0.2, SYNC_EVERY_S + 0.25)
    pace.follow(5.0, LEASE_S, 117.9)
    assert pace.sync_every_s == 0.2
    pace.follow(5.0, LEASE_S, 118.0)
    assert pace.sync_every_s == SYNC_EVERY_S


def test_to_be_faster_is_so_at_once() -> None:
    """Also while something slower is promised and not begun."""
    pace = Pace(1.0)
    pace.follow(2.0, LEASE_S, 100.0)
    pace.follow(0.5, LEASE_S, 101.0)
    assert (pace.sync_every_s, pace.unseen_s) == (0.5, 0.75)


@given(st.lists(st.tuples(st.floats(0.2, 5.0), st.floats(0.0, 6.0)), max_size=50))
def test_nobody_is_slower_than_was_promised_with_any_lease(turns: list[tuple[float, float]]) -> None:
    """However it changes."""
    pace, now_s = Pace(0.2), 0.0
    promises = [(now_s, pace.unseen_s)]
    for every_s, step_s in turns:
        now_s += step_s
        pace.follow(every_s, LEASE_S, now_s)
        promises.append((now_s, pace.unseen_s))
        until = [at_s for at_s, _ in promises[1:]] + [now_s]
        in_force = [unseen_s for (_, unseen_s), end_s in zip(promises, until, strict=True) if end_s > now_s - LEASE_S]
        assert all(pace.sync_every_s < unseen_s for unseen_s in in_force)
