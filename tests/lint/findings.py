"""What the rules find in texts, as a test states it."""

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.tree import Config
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.lint.configuration import configuration_findings
from ratelimit.lint.finding import Finding


def loaded(*texts: str, strict: bool = True, merge: bool = False) -> tuple[list[ConfigFile], Config]:
    """Files named a.yaml, b.yaml and so on, and the configuration that they are."""
    files = [ConfigFile(f"{name}.yaml", text.encode()) for name, text in zip("abc", texts, strict=False)]
    return files, load_config(files, strict=strict, merge_domains=merge)


def of_texts(*texts: str, strict: bool = True, merge: bool = False) -> list[Finding]:
    """The findings of a configuration."""
    files, config = loaded(*texts, strict=strict, merge=merge)
    return configuration_findings(files, config, LoadLimits())


def named(found: list[Finding]) -> list[tuple[str, int | None, str]]:
    """Rule, line and the last part of the key path of each."""
    return [(each.rule, each.place.line, each.place.key_path.rpartition(".")[2]) for each in found]
