import json
from typing import Any

import pytest

from ratelimit.errors import LogError
from ratelimit.simulation.json_log import JsonLog
from ratelimit.simulation.rows import Lines, Memo, Rows
from ratelimit.simulation.template import Template
from tests.simulation.scene import START_MS, rate, replay, time

REPLAY = replay(f"key: a, {rate(1)}")


def read(*lines: dict[str, Any] | str, descriptor: str = "a=%v%", when: str = "t") -> tuple[list[str], Lines]:
    """What each line asks, and what became of the lines; those without a time have one."""
    template = Template("d", [descriptor])
    rows = Rows(Memo(template, [REPLAY.plan], alone=len(template.fields) == 1), Lines())
    texts = [each if isinstance(each, str) else json.dumps({"t": time(0), **each}) for each in lines]
    log = JsonLog((when,), template.fields)
    found = log.rows(iter(["\n".join(texts).encode(errors="surrogatepass")]), rows)
    return [plans[0].reached[0].key for lump in found for _, plans in lump], rows.lines


def test_fields_and_fields_within_fields() -> None:
    """Only those that are asked for; what is missing, or null somewhere above, is missing."""
    lines: list[dict[str, Any]] = [{"v": "x", "w": {"deep": ["z"]}}, {"v": 7}, {"v": None}, {"other": 1}]
    assert read(*lines)[0] == ["a=x", "a=7"]
    nested = [{"h": {"v": {"w": "x"}}}, {"h": None}, {"h": {"v": None}}, {}]
    assert read(*nested, descriptor="a=%h.v.w%|none")[0] == ["a=x", *["a=none"] * 3]
    assert read({"h.v": "x"}, descriptor=r"a=%h\.v%")[0] == ["a=x"]


def test_numbers_and_booleans_are_texts() -> None:
    """Each its own: true is not 1."""
    values = [1, True, 1.0, False, 0, 1e30, "1"]
    assert read(*[{"v": value} for value in values])[0] == [
        *("a=1", "a=true", "a=1.0", "a=false", "a=0", "a=1e+30", "a=1")
    ]


def test_descriptors_without_fields() -> None:
    """Every line asks the same."""
    assert read({}, {}, descriptor="a=b")[0] == ["a=b", "a=b"]
    assert read({}, '{"t": 1, "x": [}', descriptor="a=b")[0] == ["a=b"]


def test_several_fields() -> None:
    """A line by itself, too."""
    lines: list[dict[str, Any] | str] = [{"v": "x", "w": "y"}, {"v": 1.5, "w": None}]
    assert read(*lines, descriptor="a=%v%:%w%|%v%")[0] == ["a=x:y", "a=1.5"]


def test_a_time_that_is_a_value_too() -> None:
    """It may be a number in both places."""
    assert read({"t": 1_767_225_600}, {"t": 1.5}, descriptor="a=%t%")[0] == ["a=1767225600", "a=1.5"]
    assert read({"t": 1_767_225_600.25}, {"t": 5})[1].broken == 0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"v": "x"', "truncated"),
        ("[]", "Expected `object`, got `array`"),
        ('{"t": "2026-01-01T00:00:00Z", "v": {"a": 1}}', "got `object` - at `$.v`"),
        ('{"v": "x"}', "there is no time in it (--time names its field)"),
        ('{"t": "then", "v": "x"}', "'then' is no time"),
        ('{"t": "2026-01-01T00:00:00Z", "v": "\udcff"}', "utf-8"),
        ('{"t": 1, "x": ' + "[" * 100_000, "is nested too deeply"),
    ],
)
def test_broken_lines(line: str, reason: str) -> None:
    """They are named by their number, empty lines counted; those around them are read."""
    keys, lines = read({"v": "x"}, "", line, {"v": "y"})
    assert keys == ["a=x", "a=y"]
    assert (lines.read, lines.broken) == (3, 1)
    ((number, told),) = lines.named
    assert number == 3
    assert reason in told


def test_lines_are_numbered_through_all_blocks() -> None:
    """A block after another."""
    rows = Rows(Memo(Template("d", ["a=b"]), [REPLAY.plan], alone=False), Lines())
    good = json.dumps({"start_time": time(5)}).encode()
    log = JsonLog(("start_time",), ())
    found = list(log.rows(iter([good + b"\n\n" + good + b"\n", b"bad\n" + good]), rows))
    assert [[ms for ms, _ in lump] for lump in found] == [[START_MS + 5] * 2, [START_MS + 5]]
    assert rows.lines.named[0][0] == 4


@pytest.mark.parametrize("fields", [[("a",), ("a", "b")], [("a", "b"), ("a",)], [("t", "x")]])
def test_a_field_within_a_value(fields: list[tuple[str, ...]]) -> None:
    """It cannot be both."""
    with pytest.raises(LogError, match="cannot be a value and hold another field too"):
        JsonLog(("t",), fields)
