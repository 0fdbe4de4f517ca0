import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ratelimit.simulation.command import Question, simulate
from tests.simulation.scene import CATALOG, LOYALTY, json_log, settings

EXAMPLE = {"domain": "catalog-ratelimit", "descriptors": [LOYALTY]}
TIERS = [None, "bronze", "silver", "gold", "platinum"]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two minutes of the catalog example: each tier once a second."""
    return json_log(
        tmp_path / "access.log", [(ms, {"x-loyalty": tier}) for ms in range(0, 120_000, 1_000) for tier in TIERS]
    )


def told(log: Path | str, out: io.TextIOBase | None = None, **options: Any) -> str:
    """What is written, after the exit code."""
    written = out or io.StringIO()
    code = simulate(Question(**{"directory": CATALOG, "log": str(log), **options}), settings(), written)
    return f"{code} {written.getvalue()}" if isinstance(written, io.StringIO) else str(code)


def counts(report: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Requests and denied by the last part of each limit's name."""
    return {each["limit"].rpartition("_match_")[2]: (each["requests"], each["denied"]) for each in report["limits"]}


def test_the_catalog_example(log: Path) -> None:
    """One, three, five and ten a minute are admitted, of sixty; unknown tiers match no limit."""
    report = json.loads(told(log, **EXAMPLE, format="json")[2:])
    assert counts(report) == {
        "no_loyalty": (120, 118),
        "bronze_request": (120, 114),
        "silver_request": (120, 110),
        "gold_request": (120, 100),
        "": (120, 0),
    }
    assert (report["lines"], report["requests"], report["denied"]) == (600, 600, 442)
    assert (report["from"], report["to"]) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:01:59.000Z")


def test_the_text(log: Path) -> None:
    """The log, the requests, the plot, the limits with their places."""
    text = told(log, **EXAMPLE)
    assert text.startswith(
        f"0 {log}: 600 lines, 2026-01-01T00:00:00.000Z to 2026-01-01T00:01:59.000Z\n600 requests: 158 "
    )
    assert "10 per minute       120        20     100  83.3    60\n    catalog.yaml:19: descriptors[3]\n" in text


def test_packed_and_out_of_order(log: Path, tmp_path: Path) -> None:
    """Lines are written when requests end: it comes to the same."""
    lines = log.read_bytes().splitlines(keepends=True)
    mixed = [line for start in range(0, len(lines), 40) for line in reversed(lines[start : start + 40])]
    (tmp_path / "mixed.gz").write_bytes(gzip.compress(b"".join(mixed)))
    mixed_report = json.loads(told(tmp_path / "mixed.gz", **EXAMPLE, format="json")[2:])
    report = json.loads(told(log, **EXAMPLE, format="json")[2:])
    assert {**mixed_report, "log": report["log"]} == report
    late = json.loads(told(tmp_path / "mixed.gz", **EXAMPLE, format="json", reorder=0.0)[2:])
    assert late["late"] == 0  # all of so short a log is held in any case


def test_a_log_of_descriptors(tmp_path: Path) -> None:
    """CSV, with columns for entries, or with fields for a template."""
    rows = [f"2026-01-01T00:00:{n:02}Z,catalog-ratelimit,gold_request,gold" for n in range(12)]
    (tmp_path / "log.csv").write_text("\n".join(["time,domain,header_match,tier", *rows]))
    (tmp_path / "plain.csv").write_text(
        "\n".join(row.rpartition(",")[0] for row in ["time,domain,header_match,tier", *rows])
    )
    assert counts(json.loads(told(tmp_path / "plain.csv", format="json")[2:])) == {"gold_request": (12, 2)}
    template = {"domain": "%domain%", "descriptors": ["header_match=%tier%_request"]}
    assert counts(json.loads(told(tmp_path / "log.csv", **template, format="json")[2:])) == {"gold_request": (12, 2)}


def test_two_configurations(log: Path, tmp_path: Path) -> None:
    """What changes, as text and as JSON, and drawn."""
    (tmp_path / "after").mkdir()
    catalog = (CATALOG / "catalog.yaml").read_text().replace("requests_per_unit: 10", "requests_per_unit: 30")
    (tmp_path / "after" / "catalog.yaml").write_text(catalog)
    options = {**EXAMPLE, "against": tmp_path / "after"}
    assert "0 requests are newly denied, 40 newly admitted" in told(log, **options, plot=tmp_path / "plot.svg")
    report = json.loads(told(log, **options, format="json")[2:])
    assert report["changes"]["limits"][0]["after"]["rate"] == "30 per minute"
    assert "after: catalog-ratelimit.header_match_gold_request" in (tmp_path / "plot.svg").read_text()


def test_hits_of_a_field(tmp_path: Path) -> None:
    """A request may cost more than one."""
    path = json_log(tmp_path / "log", [(ms, {"x-loyalty": "gold", "size": 4}) for ms in range(3)])
    report = json.loads(told(path, **EXAMPLE, hits="size", format="json")[2:])
    assert counts(report) == {"gold_request": (3, 1)}
    assert report["limits"][0]["peak"] == 12


def test_broken_lines(tmp_path: Path) -> None:
    """They are told and passed over; with `strict` the first ends it."""
    path = json_log(tmp_path / "log", [(0, {"x-loyalty": "gold"}), "torn", (1, {"x-loyalty": "gold"})])
    assert "1 broken lines are not counted, the first:\n    line 2: JSON is malformed" in told(path, **EXAMPLE)
    assert told(path, **EXAMPLE, strict=True).startswith(f"1 {path}: line 2: JSON is malformed")


def test_a_terminal_without_blocks(log: Path) -> None:
    """Letters take their place."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, "ascii")
    assert told(log, out, **EXAMPLE) == "0"
    out.flush()
    assert re.search(rb"admitted \|[ @.:=+*#-]*@[ @.:=+*#-]*\|", raw.getvalue())


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("{}", {}, "LOG: --domain and --descriptor are wanted"),
        ("{}", {"descriptors": ["a=b"]}, "--domain is wanted"),
        ("{}", {**EXAMPLE, "reorder": float("nan")}, "--reorder nan: 0 to 86400 seconds are meant"),
        ("{}", {**EXAMPLE, "top": 0}, "--top 0: at least one limit is meant"),
        ("{}", {"domain": "d", "descriptors": ["a"]}, "--descriptor a: key=value is wanted"),
        ("{}", {"domain": "d", "descriptors": ["a=b"], "time": "."}, "LOG: --time: the name of a field is missing"),
        ("", EXAMPLE, "LOG: is empty"),
        ("\n", EXAMPLE, "LOG: line 1: a header with the names of columns is wanted (no line begins"),
        ("{}\n", EXAMPLE, "LOG: none of its 1 lines asks anything, line 1: there is no time in it"),
        ('{"start_time": 1}\n', {**EXAMPLE, "descriptors": ["a=%b%"]}, "LOG: none of its 1 lines asks anything\n"),
        ("time,domain,a\n", {}, "LOG: none of its 0 lines asks anything"),
        (
            "time,domain,a\n1,catalog-ratelimit,b\n",
            {"plot": Path("none/plot.svg")},
            "--plot none/plot.svg: cannot be written",
        ),
        ("{}", {**EXAMPLE, "directory": Path("none")}, "none: cannot be read"),
    ],
)
def test_what_cannot_be_replayed(tmp_path: Path, text: str, options: dict[str, Any], reason: str) -> None:
    """Exit code 1 and a line that says why."""
    (tmp_path / "log").write_text(text)
    answer = told(tmp_path / "log", **options)
    assert answer.startswith(f"1 {reason}".replace("LOG", str(tmp_path / "log")).split("cannot be read")[0])
    assert answer.count("\n") == 1
