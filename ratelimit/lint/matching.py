"""Which limits of a configuration the descriptors of a policy can reach, asked of the tree itself."""

from collections.abc import Sequence

from ratelimit.descriptors.tree import Node, level_below
from ratelimit.lint.actions import Entry
from ratelimit.lint.headers import UNKNOWN


def limits_reached(root: Node, descriptor: Sequence[Entry]) -> list[Node]:
    """Every node with a limit that such a descriptor may reach. An entry without a value may have any."""
    level = [root]
    for entry in descriptor:
        level = list(dict.fromkeys(node for parent in level for node in _candidates(parent, entry)))
    return [node for node in level if node.limit is not None]


def unlimited_value(root: Node, descriptor: Sequence[Entry]) -> tuple[Entry, Node] | None:
    """The first entry whose value callers choose, where only some values have limits, and the node above; else None."""
    level = [root]
    for entry in descriptor:
        if entry.key is not None and entry.value is None and entry.free:
            for parent in level:
                if _candidates(parent, entry) and level_below(parent, entry.key, UNKNOWN).node is None:
                    return entry, parent
        level = list(dict.fromkeys(node for parent in level for node in _candidates(parent, entry)))
    return None


def _candidates(parent: Node, entry: Entry) -> list[Node]:
    if entry.key is None:
        return list(parent.children.values())
    if entry.value is not None:
        found = level_below(parent, entry.key, entry.value).node
        return [found] if found is not None else []
    beginning = f"{entry.key}_"
    return [child for child in parent.children.values() if _may_take(child, entry.key, beginning)]


def _may_take(child: Node, key: str, beginning: str) -> bool:
    if child.composite == key:
        return True
    fixed = child.composite.partition("*")[0]
    pattern = "*" in child.composite
    return fixed.startswith(beginning) or (pattern and beginning.startswith(fixed))
