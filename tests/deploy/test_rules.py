"""Alerts and recording rules as Prometheus reads them."""

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.monitoring import RULES, rules, shown

UNIT_TESTS = sorted((Path(__file__).parent / "prometheus").glob("*_test.yaml"))


def unit_tests(name: str) -> list[dict[str, Any]]:
    """The tests of a file, each with its series and what is expected of them."""
    found: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "prometheus" / name).read_text())["tests"]
    return found


@pytest.mark.tools
@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.stem)
def test_rules_do_what_their_unit_tests_say(promtool: Path, file: Path) -> None:
    """Alerts fire and are silent, recorded numbers are those of known series."""
    ended = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.tools
def test_prometheus_takes_the_files(promtool: Path) -> None:
    """With its lint, for which two rules of one name are a fault too."""
    command = [promtool, "check", "rules", "--lint=all", "--lint-fatal", *sorted(RULES.glob("*.yaml"))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_alert_is_tested_silent_and_firing() -> None:
    """Each has a moment when it must not fire, and one when it must, with all that it says."""
    cases = [case for test in unit_tests("alerts_test.yaml") for case in test["alert_rule_test"]]
    firing = {case["alertname"] for case in cases if case.get("exp_alerts")}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert firing == silent == {rule["alert"] for rule in rules("alerts.yaml")}


def test_every_recorded_number_is_tested() -> None:
    """By its name, with at least one sample."""
    cases = [case for test in unit_tests("recording_test.yaml") for case in test["promql_expr_test"]]
    assert Counter(case["expr"] for case in cases) == Counter(rule["record"] for rule in rules("recording.yaml"))
    assert all(case["exp_samples"] for case in cases)


def test_what_is_recorded_is_there(scrape: str) -> None:
    """Every metric that a recording rule reads is in a real scrape, or recorded by a rule above it."""
    there = shown(scrape)
    there |= {f"{name}_bucket" for name in there}
    for rule in rules("recording.yaml"):
        assert set(re.findall(r"[\w:]*ratelimit_[\w:]+", rule["expr"])) <= there, rule["record"]
        there.add(rule["record"])
