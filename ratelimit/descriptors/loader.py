"""From configuration files to a `Config`: read each, hold it against the rules, build the tree."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ratelimit.descriptors.rules import SpecificationRules
from ratelimit.descriptors.specification import DomainSpecification, Place
from ratelimit.descriptors.tree import Config, Node, TreeBuilder
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.descriptors.yaml_nodes import Document
from ratelimit.descriptors.yaml_reader import YamlFile, read_yaml


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file as read: its name for messages, relative to the configuration directory, and its bytes."""

    name: str
    text: bytes


def load_config(
    files: Iterable[ConfigFile],
    *,
    strict: bool = True,
    merge_domains: bool = False,
    limits: LoadLimits | None = None,
    read: list[YamlFile] | None = None,
) -> Config:
    """Load all files or none. `strict` False is the reference's leniency, with warnings. Raises ConfigError.

    Each file goes to `read` as it was read, for who asks more of it than a tree knows.
    """
    builder, warnings = TreeBuilder(), list[str]()

    def seen(file: YamlFile) -> None:
        warnings.extend(file.warnings)
        if read is not None:
            read.append(file)

    for depth, node in read_nodes(files, seen, strict=strict, merge_domains=merge_domains, limits=limits):
        builder.add(depth, node)
    return Config(builder.domains, tuple(warnings), builder.limits)


def read_nodes(
    files: Iterable[ConfigFile],
    seen: Callable[[YamlFile], object],
    *,
    strict: bool = True,
    merge_domains: bool = False,
    limits: LoadLimits | None = None,
) -> Iterator[tuple[int, Node]]:
    """The nodes of all files for a `TreeBuilder`, one by one; `seen` is called for each file before its nodes.

    Raises ConfigError, and then nothing of what it gave may be used.
    """
    rules = SpecificationRules(merge_domains=merge_domains)
    for file in files:
        document = Document(file.name, limits or LoadLimits(), strict)
        try:
            yield from rules.nodes(_specified(read_yaml(document, file.text), seen))
        except RecursionError:
            raise Place(file.name).error("nested too deeply for this process") from None
        except MemoryError:
            raise Place(file.name).error("needs more memory than a load may take") from None


def _specified(file: YamlFile, seen: Callable[[YamlFile], object]) -> DomainSpecification:
    """What a file says, and no more of it: its values are as large as the tree, and go before that is built."""
    seen(file)
    return file.specification
