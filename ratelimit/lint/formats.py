"""Findings as text for people, JSON, SARIF 2.1.0 (what code scanning takes) and workflow commands of GitHub."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from ratelimit.lint.finding import Finding
from ratelimit.lint.rules import RULES, Level

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_GITHUB = {Level.ERROR: "error", Level.WARNING: "warning", Level.NOTE: "notice"}


def counted(findings: Sequence[Finding]) -> Mapping[Level, int]:
    """How many there are of each level."""
    return Counter(finding.level for finding in findings)


def text_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each. What does not load stands first and alone, as the service logs it."""
    for finding in findings:
        if finding.rule == "not-loadable":
            yield finding.text
        else:
            yield f"{finding.level.value}: {finding.text} [{finding.rule}]"


def as_json(findings: Sequence[Finding], paths: Mapping[str, str]) -> str:
    """One object: the findings and how many there are. `paths` has for the name of a file where it is found."""
    numbers = counted(findings)
    shown = [
        {
            "rule": finding.rule,
            "level": finding.level.value,
            "file": _path(finding, paths),
            "line": finding.place.line,
            "key_path": finding.place.key_path,
            "said": finding.said,
            "cure": finding.cure,
        }
        for finding in findings
    ]
    totals = {f"{level.value}s": numbers[level] for level in Level}
    return json.dumps({"findings": shown, **totals}, indent=2)


def as_sarif(findings: Sequence[Finding], paths: Mapping[str, str], version: str) -> str:
    """One run with every rule; a result for each finding."""
    names = list(RULES)
    rules = [
        {
            "id": rule.name,
            "shortDescription": {"text": rule.finds},
            "help": {"text": f"docs/lint.md: {rule.name}"},
            "defaultConfiguration": {"level": rule.level.value},
        }
        for rule in RULES.values()
    ]
    driver = {"name": "ratelimit check", "version": version, "rules": rules}
    results = [_result(finding, names.index(finding.rule), paths) for finding in findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def github_lines(findings: Sequence[Finding], paths: Mapping[str, str]) -> Iterator[str]:
    """A workflow command for each, which GitHub shows beside the line."""
    for finding in findings:
        fields = {"title": finding.rule}
        path = _path(finding, paths)
        if path:
            fields = {"file": path, "line": str(finding.place.line or 1), **fields}
        properties = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in fields.items())
        yield f"::{_GITHUB[finding.level]} {properties}::{_escaped(_said(finding))}"


def _result(finding: Finding, index: int, paths: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level.value,
        "message": {"text": _said(finding)},
    }
    path = _path(finding, paths)
    if path:
        location: dict[str, Any] = {
            "physicalLocation": {
                "artifactLocation": {"uri": _uri(path)},
                "region": {"startLine": finding.place.line or 1},
            }
        }
        if finding.place.key_path:
            location["logicalLocations"] = [{"fullyQualifiedName": finding.place.key_path}]
        result["locations"] = [location]
    return result


def _said(finding: Finding) -> str:
    error = finding.place.error(finding.message)
    return f"{error.key_path}: {error.reason}" if error.key_path else error.reason


def _path(finding: Finding, paths: Mapping[str, str]) -> str:
    return paths.get(finding.place.file, finding.place.file)


def _uri(path: str) -> str:
    """A reference relative to where the command ran, as code scanning wants it; absolute for an absolute path."""
    pure = PurePath(path)
    return pure.as_uri() if pure.is_absolute() else quote(pure.as_posix())


def _escaped(text: str, more: str = "") -> str:
    """A text that ends neither its command nor its property."""
    for letter in "%\r\n" + more:
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text
