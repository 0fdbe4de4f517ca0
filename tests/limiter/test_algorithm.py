from ratelimit.limiter.algorithm import ALGORITHMS, FIXED_WINDOW, Counted


def test_the_fixed_window_allows_up_to_its_limit() -> None:
    """At the limit is within, one more is over, and nothing remains below zero."""
    assert FIXED_WINDOW.judge(3, 3, 7) == Counted(3, allowed=True, remaining=0, reset_s=7)
    assert FIXED_WINDOW.judge(5, 3, 7) == Counted(5, allowed=False, remaining=0, reset_s=7)


def test_the_fixed_window_is_part_of_its_key() -> None:
    """Every window counts anew, and a counter that is over stays so until its window ends."""
    assert FIXED_WINDOW.name(b"c:", 120) == b"c:120"
    assert FIXED_WINDOW.blocked_until(120, 60) == 180


def test_the_others_are_one_counter_for_all_time() -> None:
    """Their hits cannot be added up, and nothing that is over is certain to stay so."""
    for name in ("sliding_window", "gcra"):
        row = ALGORITHMS[name]
        assert not row.mergeable
        assert row.name(b"c:", 120) == row.name(b"c:", 180) != b"c:"
        assert row.blocked_until(120, 60) == 120
    assert len({row.tag for row in ALGORITHMS.values()}) == 3
