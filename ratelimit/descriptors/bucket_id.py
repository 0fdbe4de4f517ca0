"""Which limit a bucket id reaches: entries without an order, in a tree that has one.

A bucket id is a map: its entries come in any order, and two Envoys may send the same bucket in two. So the tree
decides: at each level that entry is taken whose node stands first in the files, and the walk goes on below it with the
others. A way that does not end at a limit with all entries taken is given up for the next entry. For one entry nothing
is new: exactly key and value, else the first pattern, else the bare key.
"""

from collections.abc import Mapping

from ratelimit.descriptors.tree import Node, level_below

ENTRIES_MAX = 16
# Levels that are looked at for one bucket id. A tree in which 16 entries have more ways than this is no one's.
LEVELS_MAX = 2_000

Entries = tuple[tuple[str, str], ...]


def ordered(root: Node, bucket_id: Mapping[str, str]) -> Entries | None:
    """The entries in the order in which they reach a limit below `root`, the domain; None where they reach none."""
    if not 0 < len(bucket_id) <= ENTRIES_MAX:
        return None
    return _Search().below(root, tuple(sorted(bucket_id.items())))


class _Search:
    def __init__(self) -> None:
        self._levels = 0

    def below(self, node: Node, left: Entries) -> Entries | None:
        """The rest of the way from `node`."""
        if not left:
            return () if node.limit is not None else None
        taken = []
        for entry in left if node.children else ():
            self._levels += 1
            level = level_below(node, *entry)
            if level.node is not None:
                taken.append((entry, level.node))
        if self._levels > LEVELS_MAX:
            return None
        for entry, child in _in_file_order(node, taken):
            rest = self.below(child, tuple(other for other in left if other is not entry))
            if rest is not None:
                return (entry, *rest)
        return None


def _in_file_order(node: Node, taken: list[tuple[tuple[str, str], Node]]) -> list[tuple[tuple[str, str], Node]]:
    """By where their nodes stand; entries that one pattern takes by their text."""
    if len(taken) < 2:
        return taken
    wanted = {id(child) for _, child in taken}
    places = {id(child): place for place, child in enumerate(node.children.values()) if id(child) in wanted}
    return sorted(taken, key=lambda found: places[id(found[1])])
