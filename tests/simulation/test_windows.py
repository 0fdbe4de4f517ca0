from ratelimit.limiter.counter_store import COUNT_MAX
from ratelimit.simulation.tallies import Tally
from ratelimit.simulation.windows import ReachedCharge, Windows
from tests.limiter.plans import charge

MINUTE_MS = 60_000


def reached(amount: int = 1, counter: bytes = b"c:") -> ReachedCharge:
    """A charge of 10 a minute."""
    return ReachedCharge(Tally("d.a", "counted"), "a=b", charge(amount=amount, counter=counter))


def test_counts_begin_anew_with_each_window() -> None:
    """At its very first millisecond; the highest count is kept."""
    windows, one = Windows(), reached()
    counts = [windows.add(one, ms) for ms in (0, 59_999, MINUTE_MS, MINUTE_MS + 1)]
    assert counts == [1, 2, 1, 2]
    assert one.tally.peak == 2


def test_charges_of_one_counter_share_a_cell() -> None:
    """Two plans of the same counter."""
    windows = Windows()
    assert [windows.add(each, 5) for each in (reached(), reached(3), reached(counter=b"other:"))] == [1, 4, 1]


def test_amounts_of_any_sign() -> None:
    """A look tells the count, a refund goes to 0 at most, a counter no higher than others."""
    windows, hit, look, back = Windows(), reached(5), reached(0), reached(-7)
    assert [windows.add(each, 0) for each in (hit, look, back)] == [5, 5, 0]
    assert back.tally.peak == 5
    big = reached(COUNT_MAX)
    assert [windows.add(big, 0), windows.add(big, 0)] == [COUNT_MAX, COUNT_MAX]


def test_windows_that_ended_are_forgotten() -> None:
    """A million keys of one minute each never are more than those of a minute."""
    windows = Windows()
    for minute in range(50):
        for number in range(20):
            windows.add(reached(counter=b"%d-%d:" % (minute, number)), minute * MINUTE_MS)
        assert len(windows) == 20


def test_what_came_is_told_once() -> None:
    """To the tally, with its key; then it begins anew."""
    one = reached()
    one.requests = 3
    one.is_over(70)
    one.is_over(90)
    one.denied = 1
    assert one.tell() == (3, 2)
    assert one.tell() == (0, 0)
    tally = one.tally
    assert (tally.requests, tally.over, tally.denied, tally.first_over_ms, tally.last_over_ms) == (3, 2, 1, 70, 90)
    assert tally.busiest.most(1)[0][0] == "a=b"
