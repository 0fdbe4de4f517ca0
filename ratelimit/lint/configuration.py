"""From files that load to the findings of a configuration."""

from collections.abc import Sequence

from ratelimit.descriptors.loader import ConfigFile
from ratelimit.descriptors.tree import Config
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.descriptors.yaml_nodes import Document, read_root
from ratelimit.descriptors.yaml_reader import read_yaml
from ratelimit.lint.finding import Finding, in_order, of_warning
from ratelimit.lint.limit_rules import limit_findings
from ratelimit.lint.tree_rules import tree_findings
from ratelimit.lint.yaml_rules import yaml_findings


def configuration_findings(files: Sequence[ConfigFile], config: Config, limits: LoadLimits) -> list[Finding]:
    """What is hardly meant in `files`, which loaded as `config`."""
    found = [of_warning(warning, "lenient") for warning in config.warnings]
    # What is not strict was told when the configuration was loaded.
    specifications = [read_yaml(Document(file.name, limits, strict=False), file.text) for file in files]
    found += tree_findings(config)
    found += limit_findings(specifications)
    for file in files:
        root = read_root(Document(file.name, limits, strict=False), file.text)
        found += yaml_findings(root) if root is not None else ()
    return in_order(found)
