"""The descriptor tree and its match: which limit a descriptor reaches.

Level by level: exactly `key_value`, else the first pattern with `*` in file order that matches `key_value`, else the
bare `key`. A level that matched is not left again, and the depth must equal the number of entries.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ratelimit.descriptors.limit import Limit
from ratelimit.descriptors.request import Descriptor


@dataclass(frozen=True, slots=True)
class Match:
    """The limit a descriptor reached.

    `counter_entries` are the descriptor's entries, with the pattern in the place of the value where `share_threshold`
    lets all values that match share one counter. `stat_key` names the limit in the metrics.
    """

    limit: Limit
    counter_entries: tuple[tuple[str, str], ...]
    stat_key: str
    configured: bool = True


@dataclass(slots=True)
class Node:
    """One descriptor of the configuration; `composite` is its `key` or `key_value`."""

    composite: str
    limit: Limit | None = None
    detailed_metric: bool = False
    value_to_metric: bool = False
    share_threshold: bool = False
    children: dict[str, "Node"] = field(default_factory=dict)
    patterns: list[tuple[tuple[str, ...], "Node"]] = field(default_factory=list)

    def add(self, child: "Node") -> None:
        """Hang `child` below this node; its composite key must be new."""
        self.children[child.composite] = child
        if "*" in child.composite:
            self.patterns.append((tuple(child.composite.split("*")), child))


@dataclass(frozen=True, slots=True)
class _Step:
    node: Node
    key: str
    value: str
    by_pattern: bool
    by_value: bool

    @property
    def shared_pattern(self) -> str:
        """The pattern that takes the value's place, or nothing."""
        return self.node.composite.removeprefix(self.key + "_") if self.by_pattern and self.node.share_threshold else ""


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration, never changed after it is loaded. `warnings` are those of the lenient mode."""

    domains: Mapping[str, Node]
    warnings: tuple[str, ...] = ()

    def has_domain(self, domain: str) -> bool:
        """Whether any file configures `domain`."""
        return domain in self.domains

    def match(self, domain: str, descriptor: Descriptor) -> Match | None:
        """Find the limit of `descriptor`; None where no limit or no domain matches. Its own limit goes first."""
        root = self.domains.get(domain)
        if root is None:
            return None
        if descriptor.limit is not None:
            stat_key = ".".join([domain, *(_named(key, value) for key, value in descriptor.entries)])
            return Match(descriptor.limit, descriptor.entries, stat_key)
        steps = _walk(root, descriptor.entries)
        if steps is None or steps[-1].node.limit is None:
            return None
        counter_entries = tuple((step.key, step.shared_pattern or step.value) for step in steps)
        return Match(steps[-1].node.limit, counter_entries, _stat_key(domain, steps))

    def dump(self) -> str:
        """Every limit in a line, in file order: what /rlconfig shows."""
        return "".join(f"{line}\n" for domain, root in self.domains.items() for line in _dump(domain, root))


def _walk(root: Node, entries: tuple[tuple[str, str], ...]) -> list[_Step] | None:
    steps: list[_Step] = []
    node = root
    for key, value in entries:
        step = _step(node, key, value)
        if step is None:
            return None
        steps.append(step)
        node = step.node
    return steps or None


def _step(node: Node, key: str, value: str) -> _Step | None:
    composite = f"{key}_{value}"
    exact = node.children.get(composite)
    if exact is not None:
        return _Step(exact, key, value, by_pattern=False, by_value=True)
    for parts, child in node.patterns:
        if _matches(parts, composite):
            return _Step(child, key, value, by_pattern=True, by_value=True)
    bare = node.children.get(key)
    return None if bare is None else _Step(bare, key, value, by_pattern=False, by_value=False)


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


def _stat_key(domain: str, steps: list[_Step]) -> str:
    shared = any(step.shared_pattern for step in steps)
    if not steps[-1].node.detailed_metric:
        names = (_named(step.key, _metric_value(step)) for step in steps)
    elif shared:
        names = (_named(step.key, step.shared_pattern or step.value) for step in steps)
    else:
        names = (f"{step.key}_{step.value}" for step in steps)
    return ".".join([domain, *names])


def _metric_value(step: _Step) -> str:
    if step.shared_pattern:
        return step.shared_pattern
    if step.by_pattern and not step.node.value_to_metric:
        return step.node.composite.removeprefix(step.key + "_")
    return step.value if step.by_value or step.node.value_to_metric else ""


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
        return f"unlimited, {modes}"
    return f"unit={limit.unit.name} requests_per_unit={limit.requests_per_unit}, {modes}"
