"""Descriptors that no request reaches, or that change nothing, asked of the tree itself.

A pattern B stands behind A for nothing when A matches all that B does. Only `*` is special in patterns, so that is so
exactly when A matches B with each `*` replaced by a letter that A does not have: a `*` of A must then have taken it,
and takes any other text in its place too.
"""

from collections.abc import Iterator
from itertools import count

from ratelimit.descriptors.quota_assignment import too_small_to_divide
from ratelimit.descriptors.tree import Config, Node
from ratelimit.lint.finding import Finding, at, listed, quoted

_FIRST_PRIVATE_LETTER = 0xE000


def tree_findings(config: Config) -> Iterator[Finding]:
    """The findings of a whole configuration, in the order of its files."""
    for domain, root in config.domains.items():
        if not any(node.limit for node in below(root)):
            said = f"the domain {quoted(domain)} has no limit, so nothing of it is limited"
            yield Finding("empty-domain", root.place, said, "add descriptors with a rate_limit")
        yield from _level(root)
        yield from _shares(root)


def below(node: Node) -> Iterator[Node]:
    """Every node below `node`."""
    for child in node.children.values():
        yield child
        yield from below(child)


def _shares(root: Node) -> Iterator[Finding]:
    """Limits that are divided over more Envoys than can share them."""
    for node in below(root):
        limit = node.limit
        if limit is not None and not limit.unlimited:
            said = too_small_to_divide(limit.requests_per_unit / limit.window_s, limit.quota_assignment)
            if said:
                yield Finding("too-small-to-divide", node.place, said)


def _level(parent: Node) -> Iterator[Finding]:
    fresh = _fresh_letter(parent)
    # Many values may stand before one bare key.
    limited: dict[Node, list[str]] = {}
    for child in parent.children.values():
        by = _taken_by(parent, child, fresh) if fresh else None
        if by is not None:
            yield _never(child, by)
            continue
        behind = _behind(parent, child)
        if behind is not None:
            if behind not in limited:
                limited[behind] = _limited_keys(behind)
            yield from _beside(child, behind, limited[behind])
        yield from _level(child)


def _fresh_letter(parent: Node) -> str:
    """A letter that no pattern of the level has; "" without patterns."""
    if not parent.patterns:
        return ""
    used = set("".join(pattern.composite for _, pattern in parent.patterns))
    return next(letter for letter in map(chr, count(_FIRST_PRIVATE_LETTER)) if letter not in used)


def _taken_by(parent: Node, child: Node, fresh: str) -> Node | None:
    """The pattern that takes all of the child's requests, but for one that has the child's own text, as it stands."""
    if "*" in child.composite:
        first = parent.first_pattern(child.composite.replace("*", fresh))
        return first if first is not child else None
    return None if child.value else parent.first_pattern(f"{child.composite}_{fresh}")


def _never(child: Node, by: Node) -> Finding:
    limits = sum(node.limit is not None for node in below(child))
    more = f", nor are the {limits} limits below it" if limits else ""
    said = f"{quoted(child.composite)} is never reached{more}: {quoted(by.composite)} ({at(by.place)}) takes all of it"
    if "*" in child.composite and len(child.composite) >= len(by.composite):
        return Finding("never-matches", child.place, said, "put it before that pattern")
    return Finding("never-matches", child.place, said, "remove it, or narrow that pattern")


def _behind(parent: Node, child: Node) -> Node | None:
    """The node that would take what an exact value or a pattern takes, were it not there; None for the last of them."""
    if not child.value:
        return None
    if "*" not in child.composite:
        found = parent.first_pattern(child.composite)
        if found is not None:
            return found
    return parent.children.get(child.key)


def _beside(child: Node, behind: Node, limited: list[str]) -> Iterator[Finding]:
    if child.limit is not None and child.limit.unlimited:
        return
    if _means_the_same(child, behind):
        named = " but for the name of its metric" if not (behind.value_to_metric or behind.detailed_metric) else ""
        said = f"{quoted(child.composite)} means what {quoted(behind.composite)} ({at(behind.place)}) means{named}"
        yield Finding("redundant-value", child.place, said, "remove it; value_to_metric there names metrics by value")
    if not child.children and child.limit is None:
        return
    missed = _missed(child, behind, limited)
    if missed:
        said = (
            f"requests that {quoted(child.composite)} takes are not limited {missed}, though "
            f"{quoted(behind.composite)} ({at(behind.place)}) does that: a level that matched is not left again"
        )
        yield Finding("no-way-back", child.place, said, "repeat that limit below this descriptor")


def _means_the_same(child: Node, behind: Node) -> bool:
    alone = not (child.children or behind.children or child.share_threshold or behind.share_threshold)
    return alone and child.limit is not None and child.limit == behind.limit


def _missed(child: Node, behind: Node, limited: list[str]) -> str:
    """What requests the node behind limits (below it by the keys `limited`) and the child does not; "" for nothing."""
    if behind.limit is not None and not behind.limit.unlimited and child.limit is None:
        return "when they end here"
    if any(not node.value and "*" in node.key for node in child.children.values()):
        return ""
    has = {node.key for node in child.children.values()} if limited else set()
    keys = [key for key in limited if key not in has] if has else limited
    return f"by {listed(keys)}" if keys else ""


def _limited_keys(node: Node) -> list[str]:
    """The keys of the level below that lead to a limit, each once."""
    found = (child.key for child in node.children.values() if child.limit or any(inner.limit for inner in below(child)))
    return list(dict.fromkeys(found))
