import json
from pathlib import Path

from loadtest.report import summary, write_report
from tests.loadtest.test_results import results


def test_the_report_is_for_readers_and_for_programs(tmp_path: Path) -> None:
    """A page with tables and the chart, and every sample as JSON."""
    write_report(results(), tmp_path / "new" / "folder")
    written = {path.name: path for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(written) == {"report.md", "results.json", "chart.svg", "chart.png"}
    page = written["report.md"].read_text()
    assert "| 1x1 | ours | 1,300 | 1,000 to 3,000 |" in page
    assert "| 1x1: req/s ≥ 1.3 × peer | 1.3 | reached |" in page
    assert "- 1x1, proof: silent for 10 s\n" in page
    found = json.loads(written["results.json"].read_text())
    assert [each["rounds"][0]["rate"] for each in found["samples"]] == [900, 1300, 1000, 1000]
    assert found["failures"] == [
        {"case": "1x1", "server": "proof", "reasons": ["GOAWAY with code 11", "silent\nfor 10 s"]}
    ]
    assert found["targets"][0]["verdict"] == "reached"


def test_the_summary_says_all_of_it() -> None:
    """What is on the terminal at the end."""
    text = summary(results())
    assert text.startswith("cores 2\n")
    assert "ours 70 MB, peer 36 MB" in text
    assert "failed: 1x1, proof: GOAWAY with code 11" in text
