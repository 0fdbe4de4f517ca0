import re
from typing import Any

import pytest

from deploy.demo.processes import ROOT
from ratelimit.metrics.declared import SHARE
from tests.deploy.monitoring import rules, shown

RULES = rules("alerts.yaml")


@pytest.fixture(scope="module")
def runbook() -> str:
    """What operators read."""
    return (ROOT / "docs" / "operating.md").read_text()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_has_its_paragraph(rule: dict[str, Any], runbook: str) -> None:
    """By its name, at the start of a line; and the alert says what is wrong, and how much that matters."""
    assert f"\n**{rule['alert']}.** " in runbook
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_every_paragraph_has_its_alert(runbook: str) -> None:
    """None is left of one that is gone."""
    assert re.findall(r"^\*\*(Ratelimit\w+)\.\*\*", runbook, re.MULTILINE) == [rule["alert"] for rule in RULES]


def test_what_alerts_read_is_there(scrape: str, runbook: str) -> None:
    """Every metric and label of an expression, and every one that a paragraph names, is in a real scrape.

    Those of divided limits are as they are declared: no Envoy shares one there.
    """
    there = shown(scrape) | {stat.prometheus for stat in SHARE}
    there |= {f"{name}_bucket" for name in there}
    expressions = "\n".join(rule["expr"] for rule in RULES)
    paragraphs = runbook[runbook.index("## Alerts") :]
    assert set(re.findall(r"ratelimit_\w+", f"{expressions}\n{paragraphs}")) - there == set()
    for label in re.findall(r"\{(\w+=\"\w+\")\}", expressions):
        assert label in scrape
