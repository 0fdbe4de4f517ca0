"""What several tests read of the rules of deploy/prometheus, and of a scrape."""

import re
from typing import Any

import yaml

from deploy.demo.processes import ROOT

RULES = ROOT / "deploy" / "prometheus"


def rules(name: str) -> list[dict[str, Any]]:
    """All rules of a file."""
    groups = yaml.safe_load((RULES / name).read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def shown(scrape: str) -> set[str]:
    """The metrics of a scrape."""
    return set(re.findall(r"^# TYPE (\w+)", scrape, re.MULTILINE))
