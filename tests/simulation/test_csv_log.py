import io

import pytest

from ratelimit.errors import LogError
from ratelimit.simulation.csv_log import LUMP, CsvLog
from ratelimit.simulation.rows import Lines, Memo, Rows
from ratelimit.simulation.template import Template
from tests.simulation.scene import START_MS, rate, replay, time

REPLAY = replay(f"key: a, {rate(1)}")


def read(text: str | bytes, *descriptors: str, when: str = "time", domain: str = "d") -> tuple[list[str], Lines]:
    """What each line asks, and what became of the lines."""
    raw = text if isinstance(text, bytes) else text.replace("NOW", time(0)).encode()
    log = CsvLog(io.BufferedReader(io.BytesIO(raw)))
    template = Template(domain, descriptors) if descriptors else None
    recipe = log.recipe(when, template, domain, None)
    rows = Rows(Memo(recipe, [REPLAY.plan], alone=log.alone), Lines())
    return [plans[0].reached[0].key for lump in log.rows(rows) for _, plans in lump], rows.lines


def test_columns_as_descriptors() -> None:
    """One column or several; epoch seconds or RFC 3339; a byte order mark is none of the first name."""
    assert read("\ufefftime,a\nNOW,x\n1767225600.5,y\n")[0] == ["a=x", "a=y"]
    assert read("time,a,b\nNOW,x,1\nNOW,,2\n")[0] == ["d: a=x, b=1", "d: b=2"]


def test_columns_as_fields_of_templates() -> None:
    """A name with a dot is one; an empty cell is missing."""
    assert read("at,user.id,b\nNOW,ann,1\nNOW,,1\n", "a=%user.id%|nobody", when="at")[0] == ["a=ann", "a=nobody"]
    assert read("time,b\nNOW,1\n", "a=always")[0] == ["a=always"]


def test_lines_in_quotes_and_empty_ones() -> None:
    """A line that goes on is one, and the next has its own number."""
    keys, lines = read('time,a\nNOW,"x\ny"\n\nNOW\nNOW,z\n')
    assert keys == ["a=x\ny", "a=z"]
    assert (lines.read, lines.named) == (3, [(5, "1 cells, and the header has 2")])


def test_broken_lines() -> None:
    """A quote that is none, a time that is none, bytes that are no text: each is told."""
    keys, lines = read(b'time,a\n1,"x"y\nthen,x\n3,\xff\n4,z\n')
    assert keys == ["a=z"]
    assert [number for number, _ in lines.named] == [2, 3, 4]
    assert [told.split(": ")[0] for _, told in lines.named] == [
        "',' expected after '\"'",
        "'then' is no time",
        "a value is not UTF-8",
    ]
    assert lines.read == 4


def test_many_lines() -> None:
    """More than are read at a time, one of them broken."""
    text = "time,a\n" + "".join(f"{START_MS + n},{n % 3}\n" for n in range(2 * LUMP)) + "x,1\n"
    keys, lines = read(text)
    assert len(keys) == 2 * LUMP
    assert (lines.read, lines.named) == (2 * LUMP + 1, [(2 * LUMP + 2, "'x' is no time")])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: a header with the names of columns is wanted"),
        ("\nx", "line 1: a header"),
        ('"a"b,c\n', "line 1: ',' expected"),
        ("when,a\n", "line 1: there is no column 'time': when, a"),
    ],
)
def test_headers_that_are_none(text: str, reason: str) -> None:
    """Nothing is read."""
    with pytest.raises(LogError) as raised:
        read(text)
    assert str(raised.value).startswith(reason)


def test_a_template_names_no_column() -> None:
    """It is told which there are."""
    with pytest.raises(LogError, match="there is no column 'user': time, a"):
        read("time,a\n", "a=%user%")
