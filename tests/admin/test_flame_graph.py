from collections import Counter
from xml.etree import ElementTree as ET

from ratelimit.admin.flame_graph import WIDTH, flame_graph

SVG = "{http://www.w3.org/2000/svg}"


def boxes(stacks: dict[str, int]) -> dict[str, tuple[float, float, float]]:
    """The boxes of a graph by their tips: left, top, width."""
    root = ET.fromstring(flame_graph(Counter(stacks), "a < b"))
    assert root[1].text == "a < b"
    found = {}
    for group in root.findall(f"{SVG}g"):
        tip, rect = group.find(f"{SVG}title"), group.find(f"{SVG}rect")
        assert tip is not None
        assert rect is not None
        found[str(tip.text)] = (float(rect.attrib["x"]), float(rect.attrib["y"]), float(rect.attrib["width"]))
    return found


def test_boxes_are_as_wide_as_they_were_seen() -> None:
    """Under what called them, side by side; names may hold anything."""
    found = boxes({"t;a;<b>": 1, "t;a;c": 2, "t;d": 1})
    assert found == {
        "t: 4 of 4 samples (100.0 %)": (0, 17, WIDTH),
        "a: 3 of 4 samples (75.0 %)": (0, 34, WIDTH * 3 / 4),
        "<b>: 1 of 4 samples (25.0 %)": (0, 51, WIDTH / 4),
        "c: 2 of 4 samples (50.0 %)": (WIDTH / 4, 51, WIDTH / 2),
        "d: 1 of 4 samples (25.0 %)": (WIDTH * 3 / 4, 34, WIDTH / 4),
    }


def test_what_nobody_would_see_is_left_out() -> None:
    """Narrow boxes, and names that do not fit into theirs."""
    text = flame_graph(Counter({f"{'x' * 300};wide": 10_000, "narrow": 1}), "")
    assert "narrow" not in text
    assert "x..</text>" in text
    assert ">wide</text>" in text


def test_a_profile_of_nothing_is_a_graph_of_nothing() -> None:
    """Still an SVG."""
    assert boxes({}) == {}


def test_a_deep_stack_is_drawn() -> None:
    """One box for each function."""
    assert len(boxes({";".join(map(str, range(2000))): 1})) == 2000
