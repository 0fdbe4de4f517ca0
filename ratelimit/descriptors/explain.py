"""Why a descriptor reaches a limit, or none: the tree's own walk, told level by level, and what is near where it ends.

There is no second matcher here: `Config.match` says which limit, `walk` says by which nodes. What this file adds is
only read of the nodes that the walk passed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from heapq import nlargest
from itertools import islice

from ratelimit.descriptors.request import Descriptor
from ratelimit.descriptors.tree import Config, Level, Match, Node, level_below, walk

# A level may have a hundred thousand nodes, and a value 4 KiB: what is near is looked for among the first of them.
CANDIDATES_MAX = 1_000
COMPARED_CHARACTERS_MAX = 64
COMPARED_MAX = 16
NEAR_MAX = 3
FOLLOWING_MAX = 5


class Missing(Enum):
    """Why there is no limit."""

    DOMAIN = "unknown_domain"
    ENTRIES = "no_entries"
    LEVEL = "no_match"
    TOO_DEEP = "too_deep"
    TOO_SHALLOW = "too_shallow"
    RATE_LIMIT = "no_rate_limit"


@dataclass(frozen=True, slots=True)
class Miss:
    """Why there is no limit, and what is near.

    `near` are domains for DOMAIN, else composite keys (`key` or `key_value`) of the level where the walk ended, the
    nearest first; `following` are those that may come below it. `misplaced` are the indices of entries that the level
    would have taken: their order is another. `looked_at_all` is False where the level has more than CANDIDATES_MAX.
    """

    reason: Missing
    near: tuple[str, ...] = ()
    following: tuple[str, ...] = ()
    misplaced: tuple[int, ...] = ()
    looked_at_all: bool = True


@dataclass(frozen=True, slots=True)
class Walked:
    """The way of one descriptor: its levels, and the limit it reached or why it reached none: one of both is None.

    `node` is where the limit stands; None for an override, whose levels are of no meaning and left out.
    """

    descriptor: Descriptor
    levels: Sequence[Level]
    match: Match | None
    node: Node | None
    miss: Miss | None


def explain_walk(config: Config, domain: str, descriptor: Descriptor) -> Walked:
    """Tell the way of `descriptor` through the tree of `domain`."""
    match = config.match(domain, descriptor)
    root = config.domains.get(domain)
    if root is None:
        near, whole = nearest(domain, config.domains)
        return Walked(descriptor, (), None, None, Miss(Missing.DOMAIN, near, looked_at_all=whole))
    if descriptor.limit is not None:
        return Walked(descriptor, (), match, None, None)
    levels = walk(root, descriptor.entries)
    if match is None:
        return Walked(descriptor, levels, None, None, _miss(root, levels, descriptor))
    return Walked(descriptor, levels, match, levels[-1].node, None)


def nearest(wanted: str, candidates: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """The candidates that are most like `wanted`, best first, and whether all of them were looked at."""
    looked_at = list(islice(candidates, CANDIDATES_MAX + 1))
    whole = len(looked_at) <= CANDIDATES_MAX
    short: dict[str, str] = {}
    for each in looked_at[:CANDIDATES_MAX]:
        short.setdefault(each[:COMPARED_CHARACTERS_MAX], each)
    # A comparison of two long texts takes 0.2 ms: only those are compared that have many pairs of letters in common.
    beginning = wanted[:COMPARED_CHARACTERS_MAX]
    pairs = _pairs(beginning)
    alike = nlargest(COMPARED_MAX, short, key=lambda each: len(pairs & _pairs(each)) / (len(each) + len(beginning) + 1))
    found = get_close_matches(beginning, alike, NEAR_MAX, cutoff=0.5)
    return tuple(short[each] for each in found), whole


def _pairs(text: str) -> set[str]:
    """Each two letters that stand side by side, its ends included."""
    return set(map(str.__add__, f" {text}", f"{text} "))


def _miss(root: Node, levels: Sequence[Level], descriptor: Descriptor) -> Miss:
    if not levels:
        return Miss(Missing.ENTRIES, following=_following(root))
    last = levels[-1]
    if last.node is not None:
        following = _following(last.node)
        return Miss(Missing.TOO_SHALLOW if following else Missing.RATE_LIMIT, following=following)
    if not last.parent.children:
        return Miss(Missing.TOO_DEEP)
    near, whole = _near_entry(last)
    later = range(len(levels), len(descriptor.entries))
    misplaced = tuple(index for index in later if level_below(last.parent, *descriptor.entries[index]).node is not None)
    return Miss(Missing.LEVEL, near, _following(last.parent), misplaced, whole)


def _near_entry(level: Level) -> tuple[tuple[str, ...], bool]:
    """What the level has that is like its entry: of the same key, like the value; else like the key."""
    children = list(islice(level.parent.children.values(), CANDIDATES_MAX + 1))
    whole = len(children) <= CANDIDATES_MAX
    of_key = {child.value: child.composite for child in children if child.key == level.key}
    if of_key:
        near, _ = nearest(level.value, of_key)
        return tuple(of_key[value] for value in near), whole
    keys: dict[str, str] = {}
    for child in children:
        keys.setdefault(child.key, child.composite)
    near, _ = nearest(level.key, keys)
    return tuple(keys[key] for key in near), whole


def _following(node: Node) -> tuple[str, ...]:
    return tuple(islice(node.children, FOLLOWING_MAX))
