"""From files that load to the findings of a configuration."""

import re
from collections.abc import Sequence

from ratelimit.descriptors.loader import ConfigFile
from ratelimit.descriptors.specification import Place
from ratelimit.descriptors.tree import Config
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.descriptors.yaml_nodes import Document, read_root
from ratelimit.descriptors.yaml_reader import read_yaml
from ratelimit.lint.finding import Finding
from ratelimit.lint.limit_rules import limit_findings
from ratelimit.lint.tree_rules import tree_findings
from ratelimit.lint.yaml_rules import yaml_findings

_PLACED = re.compile(r"(?P<file>.*?):(?P<line>\d+): (?P<said>.*)", re.DOTALL)


def configuration_findings(files: Sequence[ConfigFile], config: Config, limits: LoadLimits) -> list[Finding]:
    """What is hardly meant in `files`, which loaded as `config`."""
    found = [_lenient(warning) for warning in config.warnings]
    # What is not strict was told when the configuration was loaded.
    specifications = [read_yaml(Document(file.name, limits, strict=False), file.text) for file in files]
    found += tree_findings(config)
    found += limit_findings(specifications)
    for file in files:
        root = read_root(Document(file.name, limits, strict=False), file.text)
        found += yaml_findings(root) if root is not None else ()
    return sorted(found, key=_order)


def _lenient(warning: str) -> Finding:
    placed = _PLACED.fullmatch(warning)
    if placed is None:
        return Finding("lenient", Place(), warning)
    return Finding("lenient", Place(placed["file"], int(placed["line"])), placed["said"])


def _order(finding: Finding) -> tuple[str, int]:
    return finding.place.file, finding.place.line or 0
