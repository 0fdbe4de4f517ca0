import pytest

from ratelimit.errors import LogError
from ratelimit.simulation import rows as module
from ratelimit.simulation.rows import NAMED_MAX, Lines, Memo, Rows
from ratelimit.simulation.template import Template
from tests.simulation.scene import START_MS, rate, replay, time

REPLAY = replay(f"key: a, {rate(1)}")


def memo() -> Memo:
    """Plans of `a=<value>`."""
    return Memo(Template("d", ["a=%v%"]), [REPLAY.plan], alone=True)


def test_a_plan_is_made_once() -> None:
    """For all lines with the same values; nothing for those that ask nothing."""
    found = Rows(memo(), Lines())
    first, second, third = found.of([time(0), time(1), time(2)], ["x", "y", "x"])
    assert first[1] is third[1]
    assert first[1] is not second[1]
    assert [first[0], second[0]] == [START_MS, START_MS + 1]
    assert found.of([time(0)], [None]) == []
    assert (found.lines.read, found.lines.silent) == (4, 1)


def test_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest make room."""
    monkeypatch.setattr(module, "MEMO_MAX", 16)
    held = memo()
    for number in range(100):
        assert held[str(number)]
        assert len(held) <= 16
    assert "99" in held
    assert "0" not in held


def test_a_lump_with_a_wrong_line_changes_nothing() -> None:
    """It is read again line by line."""
    found = Rows(memo(), Lines())
    with pytest.raises(ValueError, match="yesterday"):
        found.of([time(0), "yesterday"], ["x", "y"])
    with pytest.raises(ValueError, match="longer than 4096 bytes"):
        found.of([time(0), time(0)], ["x", "y" * 5_000])
    assert found.lines == Lines()


def test_broken_lines_are_named() -> None:
    """The first of them, with their reasons; the others are counted."""
    found = Rows(memo(), Lines())
    values = [*["x"] * 3, "y" * 5_000, "\udcff", *[None] * 2]
    times = ["x", None, 5, *[time(0)] * 4]
    made = [found.of_one(place, lambda at=place: (times[at], values[at])) for place in range(7)]  # type: ignore[misc]
    assert [row is not None for row in made] == [False, False, True, False, False, False, False]
    assert (found.lines.read, found.lines.broken, found.lines.silent) == (7, 4, 2)
    reasons = ["'x' is no time", "is missing", "descriptors[0].entries[0].value: longer", "a value is not UTF-8"]
    assert [number for number, _ in found.lines.named] == [0, 1, 3, 4]
    assert all(reason in told for reason, (_, told) in zip(reasons, found.lines.named, strict=True))
    for number in range(20):
        found.lines.breaks(number, "x")
    assert len(found.lines.named) == NAMED_MAX


def test_strict() -> None:
    """The first broken line ends it."""
    with pytest.raises(LogError, match="line 5: is torn"):
        Lines(strict=True).breaks(5, "is torn")
