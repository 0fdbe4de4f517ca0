"""The descriptor tree and the walk through it: which limit a descriptor reaches, and where the walk stopped.

Level by level: exactly `key_value`, else the first pattern with `*` in file order that matches `key_value`, else the
bare `key`. A level that matched is not left again, and the depth must equal the number of entries.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import dropwhile

from ratelimit.descriptors.limit import FIXED_WINDOW, Limit
from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.specification import OnStoreError, Place

# Shared by all leaves; `Node.add` never writes here.
_NO_CHILDREN: dict[str, "Node"] = {}
_NO_PATTERNS: list[tuple[tuple[str, ...], "Node"]] = []
_NO_PREFIXES: dict[int, dict[str, list[int]]] = {}


@dataclass(slots=True)
class Match:
    """The limit a descriptor reached.

    `counter_entries` are the descriptor's entries, with the pattern in the place of the value where `share_threshold`
    lets all values that match share one counter. `stat_key` names the limit in the metrics; `configured` tells that
    the configuration alone decides about it, so that there are never more such names than nodes. Otherwise it holds
    a text that the caller chose.
    """

    limit: Limit
    counter_entries: tuple[tuple[str, str], ...]
    stat_key: str
    configured: bool


@dataclass(slots=True, eq=False)
class Node:
    """One descriptor of the configuration, or a domain at the root; `composite` is its `key` or `key_value`.

    `all_or_nothing` is a domain's: of a request that would go over one of its limits nothing is charged.

    A tree may have a hundred thousand of these, and each pass of the garbage collector visits every object that can be
    part of a cycle. So a leaf is one such object: its place is kept as plain fields, and empty collections are shared.
    """

    key: str
    limit: Limit | None = None
    value: str = ""
    detailed_metric: bool = False
    value_to_metric: bool = False
    share_threshold: bool = False
    file: str = ""
    line: int | None = None
    key_path: str = ""
    all_or_nothing: bool = False
    # Of a domain.
    on_store_error: OnStoreError = field(init=False, default=OnStoreError.ERROR)
    composite: str = field(init=False)
    children: dict[str, "Node"] = field(init=False, default_factory=lambda: _NO_CHILDREN, repr=False)
    patterns: list[tuple[tuple[str, ...], "Node"]] = field(init=False, default_factory=lambda: _NO_PATTERNS, repr=False)
    # By the length of what stands before the first `*`, and by that text: the places in `patterns`, in their order.
    _prefixes: dict[int, dict[str, list[int]]] = field(init=False, default_factory=lambda: _NO_PREFIXES, repr=False)

    def __post_init__(self) -> None:
        self.composite = _named(self.key, self.value)

    @property
    def place(self) -> Place:
        """Where the descriptor is written."""
        return Place(self.file, self.line, self.key_path)

    def add(self, child: "Node") -> None:
        """Hang `child` below this node; its composite key must be new."""
        if self.children is _NO_CHILDREN:
            self.children, self.patterns, self._prefixes = {}, [], {}
        self.children[child.composite] = child
        if "*" in child.composite:
            parts = tuple(child.composite.split("*"))
            of_size = self._prefixes.setdefault(len(parts[0]), {})
            of_size.setdefault(parts[0], []).append(len(self.patterns))
            self.patterns.append((parts, child))

    def first_pattern(self, composite: str) -> "Node | None":
        """The first pattern in file order that matches; those that begin otherwise are not looked at."""
        best = len(self.patterns)
        for size, prefixes in self._prefixes.items():
            for place in prefixes.get(composite[:size], ()):
                if place >= best:
                    break
                if _matches(self.patterns[place][0], composite):
                    best = place
        return self.patterns[best][1] if best < len(self.patterns) else None


class TreeBuilder:
    """Builds the tree from nodes that come one by one, a parent before its children."""

    def __init__(self) -> None:
        self.domains: dict[str, Node] = {}
        self.limits = 0
        self._path: list[Node] = []

    def add(self, depth: int, node: Node) -> None:
        """Add a node: `depth` 0 is a domain, or more of one there is; else it hangs below the last of depth - 1."""
        if depth == 0:
            root = self.domains.setdefault(node.key, node)
            if node.on_store_error is not OnStoreError.ERROR:  # of merged files one may say it for all
                root.on_store_error = node.on_store_error
            self._path = [root]
            return
        self.limits += node.limit is not None
        del self._path[depth:]
        self._path[-1].add(node)
        self._path.append(node)


class Matched(Enum):
    """By what a level of the tree took an entry."""

    EXACT = "exact"
    PATTERN = "pattern"
    KEY = "key"
    NOTHING = "nothing"


@dataclass(slots=True)
class Level:
    """One level of a walk: the entry that was looked for below `parent`, and the `node` that took it, if any did."""

    parent: Node
    key: str
    value: str
    matched: Matched
    node: Node | None

    def tried(self) -> Iterator[str]:
        """The composite keys that were looked for or held against the entry, in this order, up to what matched."""
        yield f"{self.key}_{self.value}"
        if self.matched is Matched.EXACT:
            return
        for _, candidate in self.parent.patterns:
            yield candidate.composite
            if candidate is self.node:
                return
        yield self.key


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, never changed after it is loaded.

    `warnings` are those of the lenient mode; `limits` is how many limits there are.
    """

    domains: Mapping[str, Node]
    warnings: tuple[str, ...] = ()
    limits: int = 0

    def has_domain(self, domain: str) -> bool:
        """Whether any file configures `domain`."""
        return domain in self.domains

    def on_store_error(self, domain: str) -> OnStoreError:
        """What calls of `domain` are answered when the store cannot count."""
        root = self.domains.get(domain)
        return OnStoreError.ERROR if root is None else root.on_store_error

    def match(self, domain: str, descriptor: Descriptor) -> Match | None:
        """Find the limit of `descriptor`; None where no limit or no domain matches. Its own limit goes first."""
        root = self.domains.get(domain)
        if root is None:
            return None
        entries = descriptor.entries
        if descriptor.limit is not None:
            # The dot stands there without entries too, as the reference has it.
            # The reference puts a dot before what follows a name, and an empty one at the beginning is none.
            names = dropwhile(lambda name: not name, (_named(key, value) for key, value in entries))
            stat_key = f"{domain}.{'.'.join(names)}"
            return Match(descriptor.limit, entries, stat_key, configured=False)
        levels = walk(root, entries)
        if not levels:
            return None
        nodes = [level.node for level in levels if level.node is not None]
        if len(nodes) < len(entries) or nodes[-1].limit is None:
            return None
        path = ".".join([domain, *[node.composite for node in nodes]])
        stat_key = path if _named_as_written(levels, nodes) else ".".join([domain, *_stat_names(levels, nodes)])
        # A name that is the path of a node is one of as many as there are nodes, whoever chose the values.
        return Match(nodes[-1].limit, _counter_entries(entries, levels, nodes), stat_key, configured=stat_key == path)

    def lines(self) -> Iterator[str]:
        """Every limit in a line, in file order: what /rlconfig shows."""
        for domain, root in self.domains.items():
            yield from _dump(domain, root)

    def dump(self) -> str:
        """All lines as one text."""
        return "".join(f"{line}\n" for line in self.lines())


def walk(root: Node, entries: Sequence[tuple[str, str]]) -> list[Level]:
    """The way of `entries` down from `root`: a level for each, up to the first that NOTHING took, which is the last."""
    levels: list[Level] = []
    node = root
    for key, value in entries:
        level = level_below(node, key, value)
        levels.append(level)
        if level.node is None:
            break
        node = level.node
    return levels


def level_below(parent: Node, key: str, value: str) -> Level:
    """The level below `parent` for one entry."""
    composite = f"{key}_{value}"
    node = parent.children.get(composite)
    if node is not None:
        return Level(parent, key, value, Matched.EXACT, node)
    node = parent.first_pattern(composite)
    if node is not None:
        return Level(parent, key, value, Matched.PATTERN, node)
    node = parent.children.get(key)
    return Level(parent, key, value, Matched.NOTHING if node is None else Matched.KEY, node)


def _matches(parts: tuple[str, ...], text: str) -> bool:
    """Match `*` between `parts`; what stands before the first and after the last may not overlap."""
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def _counter_entries(
    entries: tuple[tuple[str, str], ...], levels: Sequence[Level], nodes: Sequence[Node]
) -> tuple[tuple[str, str], ...]:
    for node in nodes:
        if node.share_threshold:
            break
    else:
        return entries
    return tuple(
        (level.key, _shared_pattern(level, node) or level.value) for level, node in zip(levels, nodes, strict=True)
    )


def _named_as_written(levels: Sequence[Level], nodes: Sequence[Node]) -> bool:
    """Whether `_stat_names` are the nodes' own: a quick yes for what most limits are, no where it must be looked at."""
    return not nodes[-1].detailed_metric and all(map(is_named_as_written, levels, nodes))


def is_named_as_written(level: Level, node: Node) -> bool:
    """Whether the stat name of one level is that of its node, where the last node has no `detailed_metric`."""
    if level.matched is Matched.EXACT:
        return bool(level.value)
    # The last: `*` in the key of a node without value, and a caller who sends just that key.
    return not node.value_to_metric and node.key == level.key and (level.matched is Matched.KEY or bool(node.value))


def _stat_names(levels: Sequence[Level], nodes: Sequence[Node]) -> Iterator[str]:
    """A part of the stat key for each level, as the reference names them: the flag of the last node decides."""
    detailed = nodes[-1].detailed_metric
    shared = detailed and any(_shared_pattern(level, node) for level, node in zip(levels, nodes, strict=True))
    for level, node in zip(levels, nodes, strict=True):
        if not detailed:
            yield _named(level.key, _metric_value(level, node))
        elif shared:
            yield _named(level.key, _shared_pattern(level, node) or level.value)
        else:
            yield f"{level.key}_{level.value}"


def _metric_value(level: Level, node: Node) -> str:
    if level.matched is Matched.EXACT or (node.value_to_metric and not _shared_pattern(level, node)):
        return level.value
    return node.composite.removeprefix(level.key + "_") if level.matched is Matched.PATTERN else ""


def _shared_pattern(level: Level, node: Node) -> str:
    """The pattern that takes the value's place, or nothing."""
    return (
        node.composite.removeprefix(level.key + "_")
        if node.share_threshold and level.matched is Matched.PATTERN
        else ""
    )


def _named(key: str, value: str) -> str:
    return f"{key}_{value}" if value else key


def _dump(parent: str, node: Node) -> Iterator[str]:
    for child in node.children.values():
        name = f"{parent}.{child.composite}"
        if child.limit is not None:
            yield f"{name}: {_described(child.limit)}"
        yield from _dump(name, child)


def _described(limit: Limit) -> str:
    modes = f"shadow_mode: {str(limit.shadow_mode).lower()}, quota_mode: {str(limit.quota_mode).lower()}"
    if limit.unlimited:
        return f"unit=UNKNOWN requests_per_unit=0, {modes}"
    times = f" unit_multiplier={limit.unit_multiplier}" if limit.unit_multiplier > 1 else ""
    if limit.algorithm != FIXED_WINDOW:
        times += f" algorithm={limit.algorithm}"
    return f"unit={limit.unit.name}{times} requests_per_unit={limit.requests_per_unit}, {modes}"
