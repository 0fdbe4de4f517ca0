import xml.etree.ElementTree as ET
from pathlib import Path

from loadtest.chart import draw, short
from tests.loadtest.test_results import results


def test_the_chart_shows_every_server_and_case(tmp_path: Path) -> None:
    """As text that can be searched, in a file that is the same for the same figures; and as a picture."""
    draw(results(), tmp_path)
    first = (tmp_path / "chart.svg").read_bytes()
    draw(results(), tmp_path)
    assert (tmp_path / "chart.svg").read_bytes() == first
    texts = {"".join(node.itertext()).strip() for node in ET.fromstring(first).iter() if node.tag.endswith("}text")}
    assert {"ours", "peer", "1x1", "envoy", "over", "1.3k", "requests per second (more is better)"} <= texts
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_numbers_on_bars_are_short() -> None:
    """Three digits, thousands with a k, nothing for what is not there."""
    assert [short(value) for value in (0, 0.1234, 5.6, 999, 14734, 220138)] == [
        "",
        "0.123",
        "5.6",
        "999",
        "14.7k",
        "220k",
    ]
