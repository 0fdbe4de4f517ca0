from ratelimit.limiter.counter_store import COUNT_MAX
from ratelimit.simulation.replay import Replay
from tests.simulation.scene import START_MS, plan, rate, replay

A = f"key: a, {rate(2)}"


def run(replayed: Replay, *rows: tuple[int, str], rows_a_run: int = 100) -> list[int]:
    """The places of what is denied, of requests of one descriptor so many milliseconds after the start."""
    plans = {text: plan(replayed, text) for _, text in rows}
    made = [(START_MS + ms, plans[text]) for ms, text in rows]
    denied = []
    for start in range(0, len(made), rows_a_run):
        denied += [start + place for place in replayed.run(made[start : start + rows_a_run])]
    replayed.finish()
    return denied


def test_a_limit_by_key_and_window() -> None:
    """Two a minute for each value; the third is denied, and counts."""
    replayed = replay(A)
    rows = [(0, "a=x"), (1, "a=x"), (2, "a=y"), (3, "a=x"), (59_999, "a=x"), (60_000, "a=x")]
    assert run(replayed, *rows) == [3, 4]
    (tally,) = replayed.tallies
    assert (tally.requests, tally.over, tally.denied, tally.peak) == (6, 2, 2, 4)
    assert (tally.first_over_ms, tally.last_over_ms) == (START_MS + 3, START_MS + 59_999)
    assert [(key, count.requests) for key, count in tally.busiest.most(2)] == [("a=x", 5), ("a=y", 1)]
    assert (replayed.requests, replayed.denied) == (6, 2)


def test_requests_over_time() -> None:
    """Each bucket has its own, however the rows come."""
    for rows_a_run in (1, 2, 100):
        replayed = replay(A)
        moments = (0, 500, 999, 1_000, 5_000, 5_001)
        run(replayed, *[(ms, "a=x") for ms in moments], rows_a_run=rows_a_run)
        second = START_MS // 1_000
        assert replayed.series == {second: [3, 1], second + 1: [1, 1], second + 5: [2, 2]}
        assert replayed.tallies[0].series == replayed.series


def test_what_matches_nothing_is_admitted() -> None:
    """And told, with what was asked."""
    replayed = replay(A)
    assert run(replayed, (0, "b=x"), (1, "b=x")) == []
    (tally,) = replayed.tallies
    assert (tally.verdict, tally.requests, tally.denied) == ("no limit", 2, 0)


def test_shadow_mode_is_over_and_not_denied() -> None:
    """What would have been denied is told all the same."""
    replayed = replay(f"key: a, shadow_mode: true, {rate(1)}")
    assert run(replayed, (0, "a=x"), (1, "a=x")) == []
    assert (replayed.tallies[0].over, replayed.tallies[0].denied) == (1, 0)


def test_the_exact_lane_is_asked_at_the_moment() -> None:
    """A sliding window and a limit beside it, and the highest count of what counts all."""
    replayed = replay(f"key: a, {rate(1, more=', algorithm: sliding_window')}", top="")
    assert run(replayed, (0, "a=x"), (1, "a=x"), (120_000, "a=x")) == [1]
    assert replayed.tallies[0].peak is None
    grouped = replay(A, top="all_or_nothing: true")
    assert run(grouped, (0, "a=x"), (1, "a=x"), (2, "a=x")) == [2]
    assert grouped.tallies[0].peak == 3


def test_a_limit_without_a_series() -> None:
    """Of very many limits some have none: they are counted all the same."""
    replayed = replay(A)
    row = (START_MS, plan(replayed, "a=x"))
    replayed.tallies[0].series = None
    replayed.run([row])
    replayed.finish()
    assert (replayed.tallies[0].requests, replayed.tallies[0].series) == (1, None)


def test_a_counter_saturates() -> None:
    """As every store's does."""
    replayed = replay(A)
    row = (START_MS, plan(replayed, "a=x", hits=2**32 - 1))
    replayed.run([row])
    single = row[1][0].single
    assert single is not None
    assert single.cell is not None
    single.cell[0] = COUNT_MAX
    assert replayed.run([row]) == [0]
    assert single.cell == [COUNT_MAX]


def test_memory_is_that_of_windows_that_go_on() -> None:
    """Keys that come once are forgotten when their minute is over."""
    replayed = replay(A)
    for minute in range(30):
        rows = [(START_MS + minute * 60_000 + n, plan(replayed, f"a={minute}-{n}")) for n in range(50)]
        replayed.run(rows)
        assert len(replayed.windows) == 50
