"""The configuration as rows of the page's tree, and the row that a series of the metrics belongs to.

A row is a node: its depth (0 for a domain), key, value, limit, tags, the number of its file and its line. Rows come in
the order of the files, a parent before its children, so a row is known by its number. Everything here is done in
pieces, each a millisecond of work at most, since it is done on the loop that answers calls.
"""

import json
from collections.abc import Iterator
from itertools import islice

from ratelimit.descriptors.limit import FIXED_WINDOW, Limit
from ratelimit.descriptors.specification import OnStoreError
from ratelimit.descriptors.tree import Config, Node
from ratelimit.metrics.names import stat_name

ROWS_AT_ONCE = 200
ROWS_MAX = 100_000
# So many ways to read a name of a series are tried: values may hold the dots and lines that part its words.
READINGS_MAX = 64


class LimitRows:
    """The rows of one configuration; `number` tells it from the one before, and `rows` is how many are shown."""

    def __init__(self, config: Config, number: int) -> None:
        self.config = config
        self.number = number
        self._row_of_name: dict[str, int] = {}
        self._row_of_node: dict[Node, int] = {}

    def build(self) -> Iterator[None]:
        """Find the series of each row, in pieces; before `row_of`."""
        nodes = enumerate(islice(_nodes(self.config), ROWS_MAX))
        while piece := list(islice(nodes, ROWS_AT_ONCE)):
            for row, (_, node, path) in piece:
                self._row_of_node[node] = row
                if node.limit is not None:
                    self._row_of_name[stat_name(path)] = row
            yield

    def row_of(self, series: str) -> int | None:
        """The row that a series belongs to: by its name, or as one that holds values of a limit's callers."""
        row = self._row_of_name.get(series)
        if row is None:
            node = _reached(self.config, series)
            # Found or not, it is looked for once.
            row = self._row_of_name[series] = -1 if node is None else self._row_of_node.get(node, -1)
        return None if row < 0 else row

    def lines(self) -> Iterator[bytes]:
        """All rows as lines of JSON: first what they are, then pieces, each with the files that are new in it."""
        yield _line({"tree": self.number, "limits": self.config.limits, "rows_max": ROWS_MAX})
        files: dict[str, int] = {}
        nodes = islice(_nodes(self.config), ROWS_MAX)
        while piece := list(islice(nodes, ROWS_AT_ONCE)):
            known = len(files)
            rows = [_row(depth, node, files.setdefault(node.file, len(files))) for depth, node, _ in piece]
            yield _line({"files": list(files)[known:], "rows": rows})


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _nodes(config: Config) -> Iterator[tuple[int, Node, str]]:
    """Depth, node and the path that names its series; without recursion, as a tree may be deep."""
    for domain, root in config.domains.items():
        yield 0, root, domain
        ways = [(domain, iter(root.children.values()))]
        while ways:
            path, children = ways[-1]
            node = next(children, None)
            if node is None:
                ways.pop()
                continue
            below = f"{path}.{node.composite}"
            yield len(ways), node, below
            ways.append((below, iter(node.children.values())))


def _row(depth: int, node: Node, file: int) -> list[object]:
    limit = "" if node.limit is None else _limit_text(node.limit)
    return [depth, node.key, node.value, limit, list(_tags(node)), file, node.line or 0]


def _limit_text(limit: Limit) -> str:
    if limit.unlimited:
        return "unlimited"
    return f"{limit.requests_per_unit} / {limit.period}"


def _tags(node: Node) -> Iterator[str]:
    """What else is to be known of a row, in the words of the files."""
    if node.on_store_error is not OnStoreError.ERROR:
        yield f"on_store_error: {node.on_store_error.name.lower()}"
    for flag in ("all_or_nothing", "detailed_metric", "value_to_metric", "share_threshold"):
        if getattr(node, flag):
            yield flag
    limit = node.limit
    if limit is None:
        return
    if limit.name:
        yield f"name: {limit.name}"
    if limit.algorithm != FIXED_WINDOW:
        yield limit.algorithm
    for flag in ("shadow_mode", "quota_mode"):
        if getattr(limit, flag):
            yield flag
    if limit.replaces:
        yield f"replaces: {', '.join(sorted(limit.replaces))}"


def _reached(config: Config, series: str) -> Node | None:
    """The limit whose series hold values (`detailed_metric`, `value_to_metric`) that such a name can be of."""
    waiting: list[tuple[Node, str, bool]] = []
    for head, rest in _cuts(series, "."):
        root = config.domains.get(head)
        if root is not None:
            waiting.append((root, rest, False))
    readings = 0
    while waiting and readings < READINGS_MAX:
        node, rest, by_value = waiting.pop()
        readings += 1
        if not rest:
            if node.limit is not None and (by_value or node.detailed_metric):
                return node
            continue
        for part, after in [*_cuts(rest, "."), (rest, "")]:
            waiting += [(child, after, by_value or child.value_to_metric) for child in _named_by(node, part)]
    return None


def _named_by(node: Node, part: str) -> Iterator[Node]:
    """The children that a level of a name can be of, the best one last."""
    for key, _ in _cuts(part, "_"):
        if (child := node.children.get(key)) is not None:
            yield child
    if (child := node.first_pattern(part)) is not None:
        yield child
    if (child := node.children.get(part)) is not None:
        yield child


def _cuts(text: str, mark: str) -> Iterator[tuple[str, str]]:
    """What stands before and behind each `mark`."""
    place = text.find(mark)
    while place >= 0:
        yield text[:place], text[place + 1 :]
        place = text.find(mark, place + 1)
