"""How one process hands a configuration to another: lines of JSON, each a small piece.

    {"nodes": [row, …]}                        at most `ROWS_MAX` nodes of the tree, a parent before its children
    {"loaded": digest, "warnings": [text, …]}  the end: all is well, and the nodes are the whole configuration
    {"unchanged": true}                        the end: the files are those whose digest was known
    {"failed": {…}, "digest": digest}          the end: a ConfigError; without a digest it was not about their contents

JSON, not pickle: whatever comes through the pipe, reading it runs no code, and people can read it too. A piece is
small, because the event loop stands still while it is decoded; its nodes are linked to the tree at once, so nothing
large is left to do at the end.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ratelimit.descriptors.limit import FIXED_WINDOW, Limit, Unit
from ratelimit.descriptors.loader import ConfigFile
from ratelimit.descriptors.quota_assignment import DEFAULT, QuotaAssignment
from ratelimit.descriptors.specification import OnStoreError
from ratelimit.descriptors.tree import Config, Node, TreeBuilder
from ratelimit.descriptors.yaml_composer import LoadLimits
from ratelimit.errors import ConfigError

ROWS_MAX = 100
PIECE_BYTES_MAX = 32 * 1024

_UNITS = {unit.wire: unit for unit in Unit}
_CHOICES = tuple(OnStoreError)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be read, and how; `known` is the digest of what was read last.

    It is the files of `directory`; or, where `control_plane` names one, a DiscoveryResponse of it, whose bytes follow
    the job.
    """

    directory: str
    ignore_dot_files: bool = False
    strict: bool = True
    merge_domains: bool = False
    known: str = ""
    limits: LoadLimits = field(default_factory=LoadLimits)
    control_plane: str = ""

    @property
    def origin(self) -> str:
        """Where what is read comes from, for messages."""
        return self.control_plane or self.directory

    def line(self) -> bytes:
        """The job as one line."""
        return _line(dataclasses.asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> "Job":
        """The job that `line` was made from."""
        fields = json.loads(line)
        return cls(**{**fields, "limits": LoadLimits(**fields["limits"])})


class Receiver:
    """Builds the tree from the pieces. `pieces` holds the nodes as they came, so that they can be released so too."""

    def __init__(self) -> None:
        self.pieces: list[list[Node]] = []
        self._builder = TreeBuilder()
        self._limits: dict[tuple[int, int, int], Limit] = {}
        self._file = ""

    @property
    def domains(self) -> dict[str, Node]:
        """The roots of the tree so far."""
        return self._builder.domains

    @property
    def limits(self) -> int:
        """How many limits there are so far."""
        return self._builder.limits

    def take(self, rows: Sequence[Any]) -> None:
        """Add the nodes of one piece."""
        nodes = []
        for depth, key, value, flags, line, key_path, limit, *rest in rows:
            if rest:
                self._file = rest[0]
            node = Node(key, limit and self._limit(limit), value, bool(flags & 1), bool(flags & 2), bool(flags & 4))
            node.file, node.line, node.key_path = self._file, line, key_path
            node.all_or_nothing = bool(flags & 8)
            node.on_store_error = _CHOICES[flags >> 4 & 3]
            self._builder.add(depth, node)
            nodes.append(node)
        self.pieces.append(nodes)

    def _limit(self, row: Sequence[Any]) -> Limit:
        requests, unit, flags, *rest = row
        limit = None if rest else self._limits.get((requests, unit, flags))
        if limit is None:
            name, replaces, metadata, *kind = rest or ("", (), {})
            unlimited, shadow_mode, quota_mode = bool(flags & 1), bool(flags & 2), bool(flags & 4)
            replaced = frozenset(replaces)
            limit = Limit(requests, _UNITS[unit], unlimited, name, replaced, shadow_mode, quota_mode, metadata)
            if kind:
                limit = dataclasses.replace(limit, unit_multiplier=kind[0], algorithm=kind[1])
            if kind[2:]:
                limit = dataclasses.replace(limit, quota_assignment=QuotaAssignment(*kind[2]))
            if not rest:
                self._limits[requests, unit, flags] = limit
        return limit


def node_lines(nodes: Iterable[tuple[int, Node]]) -> Iterator[bytes]:
    """The nodes, each with its depth, in lines of bounded size. One node alone may exceed `PIECE_BYTES_MAX`."""
    rows: list[str] = []
    size, file = 0, ""
    for depth, node in nodes:
        row = json.dumps(_row(depth, node, file), separators=(",", ":"))
        file = node.file
        if rows and (len(rows) >= ROWS_MAX or size + len(row) > PIECE_BYTES_MAX):
            yield f'{{"nodes":[{",".join(rows)}]}}\n'.encode()
            rows, size = [], 0
        rows.append(row)
        size += len(row)
    if rows:
        yield f'{{"nodes":[{",".join(rows)}]}}\n'.encode()


def tree_nodes(config: Config) -> Iterator[tuple[int, Node]]:
    """The nodes of a configuration with their depths, a parent before its children: what `node_lines` takes."""
    for root in config.domains.values():
        yield from _below(0, root)


def loaded_line(digest: str, warnings: Sequence[str]) -> bytes:
    """The end of a configuration that is well."""
    return _line({"loaded": digest, "warnings": list(warnings)})


def unchanged_line() -> bytes:
    """The end where nothing changed."""
    return _line({"unchanged": True})


def failed_line(error: ConfigError, digest: str = "") -> bytes:
    """The end of a configuration that is broken."""
    fields = {"reason": error.reason, "file": error.file, "line": error.line, "key_path": error.key_path}
    return _line({"failed": fields, "digest": digest})


def digest_of(files: Iterable[ConfigFile]) -> str:
    """What stands for the names and contents of all files."""
    found = hashlib.blake2b(digest_size=16)
    for file in files:
        found.update(f"{len(file.name)}:{len(file.text)}:{file.name}".encode())
        found.update(file.text)
    return found.hexdigest()


def _below(depth: int, node: Node) -> Iterator[tuple[int, Node]]:
    yield depth, node
    for child in node.children.values():
        yield from _below(depth + 1, child)


def _row(depth: int, node: Node, file: str) -> list[Any]:
    flags = node.detailed_metric | node.value_to_metric << 1 | node.share_threshold << 2 | node.all_or_nothing << 3
    flags |= node.on_store_error.value << 4
    row = [depth, node.key, node.value, flags, node.line, node.key_path, node.limit and _limit_row(node.limit)]
    # The first of a file brings its name.
    return row if node.file == file else [*row, node.file]


def _limit_row(limit: Limit) -> list[Any]:
    flags = limit.unlimited | limit.shadow_mode << 1 | limit.quota_mode << 2
    row: list[Any] = [limit.requests_per_unit, limit.unit.wire, flags]
    if limit.name or limit.replaces or limit.metadata:
        row += [limit.name, sorted(limit.replaces), limit.metadata]
    divided = limit.quota_assignment
    if limit.unit_multiplier != 1 or limit.algorithm != FIXED_WINDOW or divided is not DEFAULT:
        rest = [] if len(row) > 3 else ["", [], {}]
        row += [*rest, limit.unit_multiplier, limit.algorithm]
    if divided is not DEFAULT:
        row.append([divided.minimum_share, divided.expected_envoys, divided.exact, divided.weights])
    return row


def _line(fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"
