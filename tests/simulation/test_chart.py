import xml.etree.ElementTree as ET

import pytest

from ratelimit.simulation.bars import Frame
from ratelimit.simulation.chart import PLOT, TITLE_LENGTH_MAX, Panel, chart, highest, ticks

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>&\x00\x1b[31m\u202e" + "x" * 500


def drawn(*panels: Panel, frame: Frame) -> ET.Element:
    """The picture as a tree: it is well-formed."""
    return ET.fromstring(chart(HOSTILE, panels, frame))


def test_bars_stand_on_each_other() -> None:
    """What was denied on what was admitted; their heights add up, and what was not there is not drawn."""
    picture = drawn(Panel("a", "b", [(0, 30, 10), (60, 0, 0), (120, 0, 5)]), frame=Frame(0, 60, 3))
    bars = [each for each in picture.iter(f"{SVG}rect") if each.get("class") and float(each.get("y", 0)) != 38]
    assert [each.get("class") for each in bars] == ["admitted", "denied", "denied"]
    (top, admitted, denied) = (40, *bars[:2])
    assert float(admitted.get("height", 0)) == pytest.approx(30 * PLOT / top, abs=0.1)
    bottom = float(denied.get("y", 0)) + float(denied.get("height", 0))
    assert bottom == pytest.approx(float(admitted.get("y", 0)), abs=0.2)
    assert "1970-01-01 00:02:00: 0 admitted, 5 denied" in ET.tostring(picture, "unicode")


def test_what_a_log_says_is_no_markup() -> None:
    """It is escaped and cut, and nothing is fetched or run."""
    picture = drawn(Panel(HOSTILE, HOSTILE, []), frame=Frame(0, 1, 1))
    assert {each.tag.removeprefix(SVG) for each in picture.iter()} == {
        "svg",
        "title",
        "style",
        "text",
        "rect",
        "g",
        "line",
    }
    texts = [each.text or "" for each in picture.iter(f"{SVG}text")]
    assert sum("<script>" in text and r"\x1b" in text for text in texts) == 3
    assert all(len(text) <= TITLE_LENGTH_MAX + 1 for text in texts)
    assert "http" not in ET.tostring(picture, "unicode").replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(("most", "end"), [(0, 2), (1, 2), (3, 4), (10, 20), (42, 60), (99, 100), (163, 200)])
def test_axes_end_at_round_numbers(most: int, end: int) -> None:
    """Not far above the highest bar, with a whole half."""
    assert highest(most) == end


@pytest.mark.parametrize(
    ("frame", "label"),
    [(Frame(0, 1, 60), "00:00:10"), (Frame(0, 60, 120), "00:30"), (Frame(0, 86_400, 30), "Jan 06")],
)
def test_times_at_round_seconds(frame: Frame, label: str) -> None:
    """Seconds, minutes or days, as the log is long."""
    found = ticks(frame.first, frame.end)
    assert 4 <= len(found) <= 7
    assert f">{label}<" in chart("t", [Panel("a", "b", [])], frame)
