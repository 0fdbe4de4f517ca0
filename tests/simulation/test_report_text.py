from typing import Any

from ratelimit.simulation.report import replay_report
from ratelimit.simulation.report_text import KEY_LENGTH_MAX, aligned, log_lines, replay_lines, shown
from tests.simulation.scene import START_MS, plan, rate, replay

LOG: dict[str, Any] = {"log": "l", "lines": 1_000, "from": "then", "to": "now"}
SOUND = {"broken": 0, "broken_first": [], "without_descriptor": 0, "late": 0}


def told(*limits: str, asked: list[str], top: int = 20) -> str:
    """The text of a replay."""
    replayed = replay(*limits)
    replayed.run([(START_MS + ms, plan(replayed, each)) for ms, each in enumerate(asked)])
    replayed.finish()
    return "\n".join(replay_lines(replay_report(replayed), top))


def test_a_sound_log_is_told_in_a_line() -> None:
    """And what is wrong with another, line by line, with nothing a terminal would act upon."""
    assert list(log_lines({**LOG, **SOUND})) == ["l: 1,000 lines, then to now"]
    named = [{"line": 7, "reason": "is \x1b[31m"}]
    wrong = {"broken": 2, "broken_first": named, "without_descriptor": 3, "late": 4}
    text = "\n".join(log_lines({**LOG, **wrong}))
    assert "2 broken lines are not counted, the first:\n    line 7: is \\x1b[31m" in text
    assert "3 lines have no descriptor" in text
    assert "4 lines came late" in text


def test_the_table() -> None:
    """A line for each limit, and where it stands; keys where there are several."""
    text = told(f"key: a, {rate(1)}", asked=["a=x", "a=x", "a=y"])
    assert "3 requests: 2 admitted, 1 denied (33.3 %)\n" in text
    assert "  admitted |█| at most 2 in a second\n" in text
    head, row = text.splitlines()[4:6]
    assert head.split() == ["LIMIT", "RATE", "REQUESTS", "ADMITTED", "DENIED", "%", "PEAK"]
    assert row.split() == ["d.a", "1", "per", "minute", "3", "2", "1", "33.3", "2"]
    assert "    d.yaml:4: descriptors[0]\n    over from 2026-01-01T00:00:00.001Z to" in text
    assert "    a=x: 2 requests, 1 over\n    a=y: 1 requests" in text


def test_what_is_over_and_let_pass_has_a_column() -> None:
    """Where there is any; and the mode that lets it is named."""
    text = told(f"key: a, shadow_mode: true, {rate(1)}", asked=["a=x", "a=x"])
    assert "%  OVER  PEAK" in text
    assert "d.yaml:4: descriptors[0], shadow_mode" in text


def test_what_matched_nothing_is_shown() -> None:
    """With what was asked for."""
    text = told(f"key: a, {rate(1)}", asked=["b=\x00", "b=y", "b=y"])
    assert (
        "(no limit matched)  no limit         3         3       0  0.0\n    d: b=y: 2 requests\n    d: b=\\x00: 1"
        in text
    )


def test_only_so_many_limits_are_shown() -> None:
    """And it is told how many are not."""
    text = told(*(f"key: {key}, {rate(1)}" for key in "abc"), asked=["a=1", "b=1", "c=1"], top=1)
    assert text.endswith("and 2 more (--top)")
    assert "d.b" not in text


def test_keys_that_may_lack_are_told() -> None:
    """Where there were too many to tell all apart."""
    text = told(f"key: a, {rate(1)}", asked=[f"a={n}" for n in range(600)])
    assert "(many keys: each of them may have had 1 more)" in text


def test_long_texts_are_cut() -> None:
    """Tables stay tables."""
    assert shown("x" * 500) == "x" * KEY_LENGTH_MAX + "…"
    assert list(aligned([["a", "bb"], ["ccc", ""]])) == ["a    bb", "ccc"]
