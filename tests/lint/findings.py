"""What the rules find in texts, as a test states it."""

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.yaml_reader import YamlFile
from ratelimit.lint.configuration import configuration_findings
from ratelimit.lint.finding import Finding


def files_of(*texts: str) -> list[ConfigFile]:
    """Files named a.yaml, b.yaml and so on."""
    return [ConfigFile(f"{name}.yaml", text.encode()) for name, text in zip("abc", texts, strict=False)]


def of_texts(*texts: str, strict: bool = True, merge: bool = False) -> list[Finding]:
    """The findings of a configuration."""
    return of_files(files_of(*texts), strict=strict, merge=merge)


def of_files(files: list[ConfigFile], *, strict: bool = True, merge: bool = False) -> list[Finding]:
    """Likewise, of files. Raises ConfigError."""
    read: list[YamlFile] = []
    return configuration_findings(read, load_config(files, strict=strict, merge_domains=merge, read=read))


def named(found: list[Finding]) -> list[tuple[str, int | None, str]]:
    """Rule, line and the last part of the key path of each."""
    return [(each.rule, each.place.line, each.place.key_path.rpartition(".")[2]) for each in found]
