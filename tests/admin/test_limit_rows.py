import json
from typing import Any

import pytest

from ratelimit.admin import limit_rows
from ratelimit.admin.limit_rows import LimitRows
from ratelimit.descriptors.loader import ConfigFile, load_config

CONFIG = b"""
domain: d.x
on_store_error: allow
descriptors:
  - key: plan
    value: gold
    rate_limit: {unit: minute, requests_per_unit: 5, unit_multiplier: 3, name: gold, algorithm: gcra}
    descriptors:
      - key: user
        detailed_metric: true
        rate_limit: {unit: hour, requests_per_unit: 7, replaces: [{name: gold}]}
        shadow_mode: true
  - key: path
    value: /a*
    value_to_metric: true
    descriptors: [{key: m, quota_mode: true, rate_limit: {unit: day, requests_per_unit: 1}}]
  - key: any
    rate_limit: {unlimited: true}
"""


def rows_of(text: bytes = CONFIG) -> LimitRows:
    """The rows of one file, with their series."""
    rows = LimitRows(load_config([ConfigFile("f.yaml", text)]), 9)
    for _ in rows.build():
        pass
    return rows


def test_each_node_is_a_row() -> None:
    """Depth, key, value, limit, tags, file and line, a parent before its children."""
    first, *pieces = map(json.loads, rows_of().lines())
    assert first == {"tree": 9, "limits": 4, "rows_max": limit_rows.ROWS_MAX}
    assert [piece["files"] for piece in pieces] == [["f.yaml"]]
    assert [row for piece in pieces for row in piece["rows"]] == [
        [0, "d.x", "", "", ["on_store_error: allow"], 0, 2],
        [1, "plan", "gold", "5 / 3 minutes", ["name: gold", "gcra"], 0, 5],
        [2, "user", "", "7 / hour", ["detailed_metric", "shadow_mode", "replaces: gold"], 0, 9],
        [1, "path", "/a*", "", ["value_to_metric"], 0, 13],
        [2, "m", "", "1 / day", ["quota_mode"], 0, 16],
        [1, "any", "", "unlimited", [], 0, 17],
    ]


@pytest.mark.parametrize(
    ("series", "row"),
    [
        ("d.x.plan_gold", 1),
        ("d.x.plan_gold.user", 2),
        ("d.x.plan_gold.user_ann.b_c", 2),
        ("d.x.path_/abc.m", 4),
        ("d.x.path_/a.b.m", 4),
        ("d.x.any", 5),
        ("d.x.path_/bbc.m", None),
        ("d.x.plan_gold.other_ann", None),
        ("d.x.plan_silver", None),
        ("d.x", None),
        ("e.plan_gold", None),
        ("d.x." + "plan_" * 500, None),
    ],
)
def test_a_series_belongs_to_its_limit(series: str, row: int | None) -> None:
    """By its name, also where that holds values of callers with the very marks that part it; else to none."""
    rows = rows_of()
    assert rows.row_of(series) == row
    assert rows.row_of(series) == row


def test_rows_come_in_pieces_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration of any size holds the loop for a moment at a time, and the first rows are shown."""
    monkeypatch.setattr(limit_rows, "ROWS_MAX", 450)
    limit = "rate_limit: {unit: minute, requests_per_unit: 5}"
    text = "domain: d\ndescriptors:\n" + "".join(f"  - key: k{number}\n    {limit}\n" for number in range(500))
    rows = rows_of(text.encode())
    pieces: list[Any] = [json.loads(line) for line in rows.lines()]
    assert [len(piece["rows"]) for piece in pieces[1:]] == [200, 200, 50]
    assert [piece["files"] for piece in pieces[1:]] == [["f.yaml"], [], []]
    assert (rows.row_of("d.k448"), rows.row_of("d.k449")) == (449, None)
