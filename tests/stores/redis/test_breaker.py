from ratelimit.stores.redis.breaker import HALF, IN_ROW, LAST, Breaker


def opened_by(outcomes: str) -> int:
    """After how many outcomes it opens, `x` for a failure; 0 for never."""
    breaker = Breaker()
    for number, outcome in enumerate(outcomes, 1):
        if outcome == "x":
            if breaker.failed():
                return number
        else:
            breaker.succeeded()
    return 0


def test_failures_in_a_row_open_it() -> None:
    """Five, and one answer in between begins the row anew."""
    assert opened_by("x" * IN_ROW) == IN_ROW
    assert opened_by("xxxx.xxxx.") == 0


def test_half_of_the_last_twenty_open_it() -> None:
    """Ten failures among them, however they are spread; older ones are forgotten."""
    assert opened_by("x." * HALF) == LAST - 1
    assert opened_by("xxxx......" * 9) == 0
    assert opened_by("xxxx" + "." * LAST + "xxxx.xxxx.") == 0


def test_answers_without_failures_leave_no_trace() -> None:
    """`recent` is 0 then, which is all that the way of a good answer looks at."""
    breaker = Breaker()
    breaker.failed()
    assert breaker.recent
    for _ in range(LAST):
        breaker.succeeded()
    assert breaker.recent == 0


def test_only_a_probe_closes_it() -> None:
    """Late answers do not, further failures open nothing twice; then it starts from nothing."""
    breaker = Breaker()
    assert [breaker.failed() for _ in range(IN_ROW)] == [False] * (IN_ROW - 1) + [True]
    breaker.succeeded()
    assert not breaker.failed()
    assert breaker.open
    assert breaker.probe_succeeded()
    assert not breaker.probe_succeeded()
    assert (breaker.open, breaker.recent) == (False, 0)


def test_probes_are_spread() -> None:
    """One in half a second to a second."""
    assert Breaker(lambda: 0.0).next_probe(7.0) == 7.5
    assert Breaker(lambda: 1.0).next_probe(7.0) == 8.0
