"""A configuration divided among clusters by weight, so that what they admit sums to the limit."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

KEY = "requests_per_unit"


@dataclass(frozen=True, slots=True)
class Nothing:
    """A limit too small to be divided: this cluster admits nobody. `line` counts from 1."""

    cluster: str
    line: int
    limit: int

    def __str__(self) -> str:
        return f"line {self.line}: of {self.limit} nothing is left for {self.cluster}, which denies all"


def shares(limit: int, weights: Sequence[int]) -> list[int]:
    """A limit divided by weight, in their order: the sum is the limit, and each is less than 1 from its exact part.

    What rounding down leaves goes to the largest remainders, the first of equal ones. Raises ValueError.
    """
    if limit < 0 or not weights or min(weights) < 1:
        raise ValueError(f"a limit of {limit} cannot be divided by the weights {list(weights)}: each is at least 1")
    total = sum(weights)
    parts = [limit * weight // total for weight in weights]
    remainders = [limit * weight % total for weight in weights]
    neediest = sorted(range(len(weights)), key=lambda place: -remainders[place])
    for place in neediest[: limit - sum(parts)]:
        parts[place] += 1
    return parts


def split(text: str, weights: Mapping[str, int]) -> tuple[dict[str, str], list[Nothing]]:
    """Each cluster's configuration: the text with its share for every limit, comments kept; and what is too small.

    Raises ValueError with the line of what cannot be divided.
    """
    found = sorted(_limits(text), key=lambda node: -node.start_mark.index)  # from the end: earlier places stay
    texts, nothing = dict.fromkeys(weights, text), []
    for node in found:
        limit, line = _number(node), node.start_mark.line + 1
        for cluster, share in zip(weights, shares(limit, list(weights.values())), strict=True):
            whole = texts[cluster]
            texts[cluster] = f"{whole[: node.start_mark.index]}{share}{whole[node.end_mark.index :]}"
            if limit and not share:
                nothing.append(Nothing(cluster, line, limit))
    return texts, nothing[::-1]


def _limits(text: str) -> set[yaml.ScalarNode]:
    """The scalars of every requests_per_unit; one that aliases name again is there once."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {error}") from None
    return set() if root is None else set(_below(root, set()))


def _below(node: yaml.Node, seen: set[yaml.Node]) -> Iterator[yaml.ScalarNode]:
    if node in seen:
        return
    seen.add(node)
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _below(each, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == KEY:
                yield _whole(value)
            else:
                yield from _below(value, seen)


def _whole(node: yaml.Node) -> yaml.ScalarNode:
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:int":
        raise ValueError(f"line {node.start_mark.line + 1}: {KEY} is no whole number")
    return node


def _number(node: yaml.ScalarNode) -> int:
    return int(yaml.SafeLoader("").construct_yaml_int(node))
