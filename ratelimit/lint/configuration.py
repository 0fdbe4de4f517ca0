"""From files that loaded to the findings of a configuration."""

from collections.abc import Sequence

from ratelimit.descriptors.tree import Config
from ratelimit.descriptors.yaml_nodes import Document, Value
from ratelimit.descriptors.yaml_reader import YamlFile
from ratelimit.lint.finding import Finding, in_order, of_warning
from ratelimit.lint.limit_rules import limit_findings
from ratelimit.lint.tree_rules import tree_findings
from ratelimit.lint.yaml_rules import yaml_findings


def configuration_findings(files: Sequence[YamlFile], config: Config) -> list[Finding]:
    """What is hardly meant in `files`, which loaded as `config`."""
    found = [of_warning(warning, "lenient") for warning in config.warnings]
    found += tree_findings(config)
    found += limit_findings([file.specification for file in files])
    for file in files:
        found += yaml_findings(_again(file.root))
    return in_order(found)


def _again(root: Value) -> Value:
    """The root of a file for one more visit, with a budget of its own; what is not strict was told by the first."""
    document = root.document
    return Value(Document(document.name, document.limits, strict=False), root.node)
