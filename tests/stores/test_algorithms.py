"""The algorithms against simulations of what they promise."""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.limiter.algorithm import GCRA, SLIDING_WINDOW, Counted
from ratelimit.stores.algorithms import State, gcra, sliding_window
from tests.limiter.plans import moment

START_MS = 1_700_000_000_000
WINDOW_MS = 1000
# How long after the one before, in ms, and how many hits.
ARRIVALS = st.lists(st.tuples(st.integers(0, 900), st.integers(1, 4)), min_size=1, max_size=60)


def moments(arrivals: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same with their moments."""
    at_ms, told = START_MS, []
    for gap_ms, amount in arrivals:
        at_ms += gap_ms
        told.append((at_ms, amount))
    return told


@given(ARRIVALS, st.integers(1, 12))
def test_gcra_admits_what_the_textbook_does(arrivals: list[tuple[int, int]], limit: int) -> None:
    """Hit by hit the same as with a theoretical arrival time in fractions, burst and emission interval exact."""
    interval, expected_at = Fraction(WINDOW_MS, limit), Fraction(0)
    held: State | None = None
    for at_ms, amount in moments(arrivals):
        reached = max(expected_at, Fraction(at_ms)) + amount * interval
        fits = reached - at_ms <= limit * interval
        result, state, _ = gcra(held, moment(GCRA, at_ms, amount, limit=limit))
        held = state or held
        assert result.allowed == fits
        if fits:
            expected_at = reached
        assert result.count == -(-max(Fraction(0), expected_at - at_ms) // interval)


@given(ARRIVALS, st.integers(1, 12))
def test_the_sliding_window_stays_within_its_bound_of_an_exact_log(arrivals: list[tuple[int, int]], limit: int) -> None:
    """What is in use differs from the log by what of the window before may be misplaced, and by one hit."""
    held: State | None = None
    log: list[tuple[int, int]] = []
    for at_ms, amount in moments(arrivals):
        looked, _, _ = sliding_window(held, moment(SLIDING_WINDOW, at_ms, 0, limit=limit))
        start = at_ms - at_ms % WINDOW_MS
        share = Fraction(at_ms - start, WINDOW_MS)
        before = sum(hits for at, hits in log if start - WINDOW_MS <= at < start)
        exact = sum(hits for at, hits in log if at_ms - WINDOW_MS < at <= at_ms)
        assert -before * share <= looked.count - exact < before * (1 - share) + 1
        result, state, _ = sliding_window(held, moment(SLIDING_WINDOW, at_ms, amount, limit=limit))
        held = state or held
        assert result.allowed == (looked.count + amount <= limit)
        if result.allowed:
            log.append((at_ms, amount))
    for last, _ in log:
        assert sum(hits for at, hits in log if last - WINDOW_MS < at <= last) < 2 * limit


@given(ARRIVALS, st.integers(1, 12))
def test_the_sliding_window_admits_about_as_many_as_an_exact_log(arrivals: list[tuple[int, int]], limit: int) -> None:
    """In a window of the clock the two differ by what either admitted in the one before, one and the largest hit.

    The log is a limiter of its own. Whoever denied a hit had at least L less these in the window by then, and both
    admit at most L in it.
    """
    held: State | None = None
    log: list[tuple[int, int]] = []
    ours: dict[int, int] = {}
    exact: dict[int, int] = {}
    for at_ms, amount in moments(arrivals):
        window = at_ms // WINDOW_MS
        result, state, _ = sliding_window(held, moment(SLIDING_WINDOW, at_ms, amount, limit=limit))
        held = state or held
        ours[window] = ours.get(window, 0) + (amount if result.allowed else 0)
        if sum(hits for at, hits in log if at_ms - WINDOW_MS < at) + amount <= limit:
            log.append((at_ms, amount))
            exact[window] = exact.get(window, 0) + amount
    for window, admitted in ours.items():
        most = max(ours.get(window - 1, 0), exact.get(window - 1, 0))
        assert abs(admitted - exact.get(window, 0)) <= most + 1 + max(amount for _, amount in arrivals)
        assert admitted <= limit


def test_a_denied_hit_charges_nothing() -> None:
    """Whoever goes on asking is let in as soon as there is room."""
    for count, algorithm in ((sliding_window, SLIDING_WINDOW), (gcra, GCRA)):
        _, held, _ = count(None, moment(algorithm, START_MS, 10))
        for _ in range(5):
            denied, state, _ = count(held, moment(algorithm, START_MS, 1))
            assert (denied.allowed, denied.count, denied.remaining, state) == (False, 10, 0, None)


def test_refunds_stop_at_empty() -> None:
    """Also those of more than there is, and those of nothing leave nothing."""
    for count, algorithm in ((sliding_window, SLIDING_WINDOW), (gcra, GCRA)):
        _, held, _ = count(None, moment(algorithm, START_MS, 3))
        told = []
        for amount in (-1, -9, -1):
            result, state, _ = count(held, moment(algorithm, START_MS, amount))
            held = state or held
            told.append((result.count, state is not None))
        assert told == [(2, True), (0, True), (0, False)]


def test_a_refund_reaches_the_window_before() -> None:
    """Where the current one has too little."""
    _, held, _ = sliding_window(None, moment(SLIDING_WINDOW, START_MS, 6))
    _, held, _ = sliding_window(held, moment(SLIDING_WINDOW, START_MS + WINDOW_MS, 2))
    _, held, _ = sliding_window(held, moment(SLIDING_WINDOW, START_MS + WINDOW_MS, -5))
    assert held == (START_MS + WINDOW_MS, 0, 3)


def test_a_clock_that_steps_back_loses_nothing() -> None:
    """What is held of a later moment stays as it is."""
    for count, algorithm in ((sliding_window, SLIDING_WINDOW), (gcra, GCRA)):
        _, held, _ = count(None, moment(algorithm, START_MS, 3))
        result, _, _ = count(held, moment(algorithm, START_MS - 5 * WINDOW_MS, 1))
        assert result.count == 4


def test_what_is_left_is_told_in_seconds() -> None:
    """Until nothing is in use, rounded up."""
    result, _, until_ms = gcra(None, moment(GCRA, START_MS, 1, limit=3))
    assert (result, until_ms) == (Counted(1, allowed=True, remaining=2, reset_s=1), START_MS + 334)
    result, _, until_ms = sliding_window(None, moment(SLIDING_WINDOW, START_MS + 400, 1, limit=3))
    assert (result, until_ms) == (Counted(1, allowed=True, remaining=2, reset_s=2), START_MS + 2000)
    look, _, _ = sliding_window((START_MS - WINDOW_MS, 0.0, 9.0), moment(SLIDING_WINDOW, START_MS - 500, 0))
    assert (look.count, look.reset_s) == (5, 1)


def test_a_limit_of_nothing_admits_nothing() -> None:
    """And what was in use before the limit fell to 0 is not divided by it."""
    for count, algorithm in ((sliding_window, SLIDING_WINDOW), (gcra, GCRA)):
        denied, _, _ = count(None, moment(algorithm, START_MS, 1, limit=0))
        assert denied == Counted(0, allowed=False, remaining=0, reset_s=0)
        _, held, _ = count(None, moment(algorithm, START_MS, 2))
        refunded, _, _ = count(held, moment(algorithm, START_MS, -1, limit=0))
        assert (refunded.count, refunded.allowed) == (1, False)
