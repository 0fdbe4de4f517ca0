"""`ratelimit check DIR`: whether the service would load this configuration."""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ratelimit.descriptors.loader import load_config
from ratelimit.descriptors.tree import Config, Node
from ratelimit.errors import ConfigError
from ratelimit.settings import ConfigSettings
from ratelimit.sources.directory import load_limits
from ratelimit.sources.files import legible, read_directory


def check(directory: Path, settings: ConfigSettings, out: TextIO) -> int:
    """Load every file below `directory`, dot files aside; 0 and a line per domain, or 1 and what is wrong where."""
    try:
        config = read_config(directory, settings)
    except ConfigError as error:
        out.write(f"{error}\n")
        return 1
    lines = [f"warning: {warning}" for warning in config.warnings]
    for domain, root in config.domains.items():
        lines.append(f"{legible(domain)}: {sum(node.limit is not None for node in _below(root))} limits")
    out.write("".join(f"{line}\n" for line in lines))
    return 0


def read_config(directory: Path, settings: ConfigSettings) -> Config:
    """The configuration in `directory`, dot files aside. Raises ConfigError, also where there is no file."""
    limits = load_limits(settings)
    files = read_directory(directory, ignore_dot_files=True, file_bytes_max=limits.file_bytes_max)
    merge_domains = settings.merge_domain_config
    config = load_config(files, strict=settings.config_strict, merge_domains=merge_domains, limits=limits)
    if not files:
        raise ConfigError("no file there", file=legible(directory))
    return config


def _below(node: Node) -> Iterator[Node]:
    for child in node.children.values():
        yield child
        yield from _below(child)
