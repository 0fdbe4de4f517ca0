import json
from typing import Any

from ratelimit.descriptors.specification import Place
from ratelimit.lint.finding import Finding
from ratelimit.lint.formats import as_json, as_sarif, counted, github_lines, text_lines
from ratelimit.lint.rules import RULES, Level

ODD = Finding("zero-requests", Place("a b,c.yaml", 3, "descriptors[0]"), "100%: a\nb", "write 1")
BROKEN = Finding("not-loadable", Place("x.yaml"), "the file is empty")
NOWHERE = Finding("lenient", Place(), "more")


def test_text() -> None:
    """What does not load as it always was, the others with their level and rule."""
    assert list(text_lines([BROKEN, ODD])) == [
        "x.yaml: the file is empty",
        "warning: a b,c.yaml:3: descriptors[0]: 100%: a\nb; write 1 [zero-requests]",
    ]
    assert counted([BROKEN, ODD]) == {Level.ERROR: 1, Level.WARNING: 1}


def test_json() -> None:
    """Every part by its name, the file where it is found, and the numbers."""
    told = json.loads(as_json([ODD, BROKEN], {"a b,c.yaml": "config/a b,c.yaml"}))
    assert told["findings"][0] == {
        "rule": "zero-requests",
        "level": "warning",
        "file": "config/a b,c.yaml",
        "line": 3,
        "key_path": "descriptors[0]",
        "said": "100%: a\nb",
        "cure": "write 1",
    }
    assert (told["errors"], told["warnings"], told["notes"]) == (1, 1, 0)


def sarif(*findings: Finding) -> dict[str, Any]:
    """The one run of a log."""
    log = json.loads(as_sarif(findings, {"x.yaml": "/srv/x.yaml"}, "1.2"))
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    return dict(log["runs"][0])


def test_sarif_names_every_rule() -> None:
    """With its level; and a result points at its own."""
    run = sarif(ODD)
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("ratelimit check", "1.2")
    assert {rule["id"]: rule["defaultConfiguration"]["level"] for rule in driver["rules"]} == {
        name: rule.level.value for name, rule in RULES.items()
    }
    (result,) = run["results"]
    assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "zero-requests"


def test_sarif_places() -> None:
    """A uri, a line from 1 on, and the key path; nothing for a finding without a file."""
    odd, broken, nowhere = sarif(ODD, BROKEN, NOWHERE)["results"]
    assert odd["locations"] == [
        {
            "physicalLocation": {"artifactLocation": {"uri": "a%20b%2Cc.yaml"}, "region": {"startLine": 3}},
            "logicalLocations": [{"fullyQualifiedName": "descriptors[0]"}],
        }
    ]
    place = {"artifactLocation": {"uri": "file:///srv/x.yaml"}, "region": {"startLine": 1}}
    assert broken["locations"] == [{"physicalLocation": place}]
    assert "locations" not in nowhere
    assert odd["message"]["text"] == "descriptors[0]: 100%: a\nb; write 1"


def test_github() -> None:
    """Percent signs, line ends, and in properties colons and commas are escaped."""
    assert list(github_lines([ODD, BROKEN, NOWHERE], {"x.yaml": "c:x.yaml"})) == [
        "::warning file=a b%2Cc.yaml,line=3,title=zero-requests::descriptors[0]: 100%25: a%0Ab; write 1",
        "::error file=c%3Ax.yaml,line=1,title=not-loadable::the file is empty",
        "::warning title=lenient::more",
    ]
