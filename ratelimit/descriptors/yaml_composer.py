"""From the text of a YAML file to its nodes, counted while they are made.

The parser is libyaml's; what PyYAML would do with its events, twice and by recursion, is done here in one pass that
has no stack to overflow, keeps of each node only what is needed, and stops at the first event beyond a cap. Aliases
are the nodes they stand for, not copies, so a node may even hold itself: whoever visits nodes must count (`Document`).
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

from ratelimit.descriptors.specification import Place, shown
from ratelimit.errors import ConfigError

TAG = "tag:yaml.org,2002:"
_CORE_TAGS = {yaml.SequenceStartEvent: f"{TAG}seq", yaml.MappingStartEvent: f"{TAG}map"}
_RESOLVER: Any = yaml.SafeLoader("")
_REMEMBERED_CHARACTERS_MAX = 40


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """The caps of one file: bytes, levels of nesting, nodes (with aliases and merge keys expanded) and aliases."""

    file_bytes_max: int = 4 * 1024 * 1024
    depth_max: int = 64
    nodes_max: int = 500_000
    aliases_max: int = 1_000


@dataclass(slots=True, eq=False)
class Scalar:
    """A text; `plain` where it stands without quotes. The `tag` is the one written, or what YAML 1.1 takes it for."""

    tag: str
    line: int
    text: str
    plain: bool


@dataclass(slots=True, eq=False)
class Sequence:
    """A list."""

    tag: str
    line: int
    elements: list["Node"] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Mapping:
    """A mapping, its pairs in the order written, merge keys and repeated keys among them."""

    tag: str
    line: int
    pairs: list[tuple["Node", "Node"]] = field(default_factory=list)


Node = Scalar | Sequence | Mapping


def compose(name: str, text: str, limits: LoadLimits) -> tuple[Node | None, bool]:
    """The root of the first document, None without one, and whether there are more. Raises ConfigError for `name`."""
    roots = compose_all(name, text, limits)
    return next(iter(roots), None), len(roots) > 1


def compose_all(name: str, text: str, limits: LoadLimits) -> list[Node]:
    """The root of each document. Raises ConfigError for `name`."""
    composer = _Composer(name, limits)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            composer.take(event)
    except yaml.YAMLError as error:
        raise _syntax_error(name, error) from None
    return composer.roots


class _Composer:
    """What the events of one file come to: the root of each of its documents."""

    def __init__(self, name: str, limits: LoadLimits) -> None:
        self.roots: list[Node] = []
        self._name = name
        self._limits = limits
        self._nodes = 0
        self._aliases = 0
        self._anchors: dict[str, Node] = {}
        # The collections that are open, and for each mapping among them the key that waits for its value.
        self._open: list[Sequence | Mapping] = []
        self._keys: list[Node | None] = []

    def take(self, event: Any) -> None:
        """Add what one event says."""
        if isinstance(event, yaml.NodeEvent):
            self._count(event)
            if isinstance(event, yaml.AliasEvent):
                self._place(self._named(event))
            else:
                self._add(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()
        elif isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}

    def _count(self, event: Any) -> None:
        limits = self._limits
        self._nodes += 1
        self._aliases += isinstance(event, yaml.AliasEvent)
        if self._nodes > limits.nodes_max:
            raise self._error(event, f"more than {limits.nodes_max} nodes")
        if self._aliases > limits.aliases_max:
            raise self._error(event, f"more than {limits.aliases_max} aliases")
        if len(self._open) >= limits.depth_max and isinstance(event, yaml.CollectionStartEvent):
            raise self._error(event, f"more than {limits.depth_max} levels of nesting")

    def _add(self, event: Any) -> None:
        line = event.start_mark.line + 1
        written = event.tag if event.tag != "!" else None
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            plain = not event.style
            tag = written or (implicit_tag(event.value) if event.implicit[0] else f"{TAG}str")
            node = Scalar(tag, line, event.value, plain)
        else:
            kind = Sequence if isinstance(event, yaml.SequenceStartEvent) else Mapping
            node = kind(written or _CORE_TAGS[type(event)], line)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._place(node)
        if not isinstance(node, Scalar):
            self._open.append(node)
            self._keys.append(None)

    def _place(self, node: Node) -> None:
        if not self._open:
            self.roots.append(node)
            return
        parent = self._open[-1]
        if isinstance(parent, Sequence):
            parent.elements.append(node)
            return
        key = self._keys[-1]
        if key is None:
            self._keys[-1] = node
        else:
            parent.pairs.append((key, node))
            self._keys[-1] = None

    def _named(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise self._error(event, f"not YAML: found undefined alias {shown(event.anchor)}")
        return node

    def _error(self, event: Any, reason: str) -> ConfigError:
        return Place(self._name, event.start_mark.line + 1).error(reason)


def implicit_tag(text: str) -> str:
    """What YAML 1.1 takes a plain text for."""
    return _remembered_tag(text) if len(text) <= _REMEMBERED_CHARACTERS_MAX else _resolved_tag(text)


def _resolved_tag(text: str) -> str:
    return str(_RESOLVER.resolve(yaml.ScalarNode, text, (True, False)))


# The same few keys and units stand in every descriptor.
_remembered_tag = lru_cache(maxsize=1024)(_resolved_tag)


def _syntax_error(name: str, error: yaml.YAMLError) -> ConfigError:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        reason = " ".join(part for part in (error.context, error.problem) if part)
        return Place(name, error.problem_mark.line + 1).error(f"not YAML: {reason}")
    return Place(name).error(f"not YAML: {error}".splitlines()[0])
