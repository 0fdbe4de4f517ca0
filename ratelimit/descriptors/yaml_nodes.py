"""YAML with places: every value knows its line and key path, and nothing is read beyond the caps.

Goals: a text means what is written (`value: yes` is the text "yes"), every error names file, line and key path, and no
file can make the process slow or large. So nodes are counted while they are composed (`yaml_composer`), converted by
the schema that reads them and not by YAML's guesses, and whatever aliases and merge keys unfold to is paid for from
one budget, where it is visited.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ratelimit.descriptors import yaml_scalars
from ratelimit.descriptors.specification import Place, shortened, shown
from ratelimit.descriptors.yaml_composer import (
    TAG,
    LoadLimits,
    Mapping,
    Node,
    Scalar,
    Sequence,
    compose,
    compose_all,
    implicit_tag,
)
from ratelimit.errors import ConfigError

_STR, _NULL, _BOOL, _INT, _FLOAT = f"{TAG}str", f"{TAG}null", f"{TAG}bool", f"{TAG}int", f"{TAG}float"
_MERGE, _VALUE, _TIMESTAMP = f"{TAG}merge", f"{TAG}value", f"{TAG}timestamp"
_KINDS: dict[type, tuple[str, frozenset[str]]] = {
    Scalar: ("a text", frozenset((_STR, _NULL, _BOOL, _INT, _FLOAT, _MERGE, _VALUE, _TIMESTAMP))),
    Sequence: ("a list", frozenset((f"{TAG}seq",))),
    Mapping: ("a mapping", frozenset((f"{TAG}map",))),
}
WARNINGS_MAX = 100
_NAME_CHARACTERS_MAX = 60
# What one file may say, aliases expanded, as a multiple of its largest size.
_EXPANSION_MAX = 4


@dataclass(slots=True)
class Document:
    """One file while it is read; `warnings` collects what the lenient mode lets pass.

    `nodes` and `characters` count what was visited so far, each time it was visited.
    """

    name: str
    limits: LoadLimits
    strict: bool = True
    warnings: list[str] = field(default_factory=list)
    nodes: int = 0
    characters: int = 0

    def mistake(self, place: Place, reason: str) -> None:
        """Raise in strict mode; in lenient mode the mistake becomes a warning."""
        error = place.error(reason)
        if self.strict:
            raise error
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(str(error))
        elif len(self.warnings) == WARNINGS_MAX:
            self.warnings.append(f"{self.name}: more than {WARNINGS_MAX} mistakes; the others are not told")

    def spend(self, node: Node, path: str) -> None:
        """Pay for one visit of a node. Raises ConfigError when the budget of the file is used up."""
        self.nodes += 1
        if isinstance(node, Scalar):
            self.characters += len(node.text)
        characters_max = _EXPANSION_MAX * self.limits.file_bytes_max
        if self.nodes > self.limits.nodes_max or self.characters > characters_max:
            spent = (
                f"{characters_max} characters" if self.characters > characters_max else f"{self.limits.nodes_max} nodes"
            )
            reason = f"more than {spent}, with aliases expanded and merge keys filled in"
            raise Place(self.name, node.line, path).error(reason)


@dataclass(slots=True)
class Value:
    """One YAML node and where it stands; `path` is like ``descriptors[1].rate_limit.unit``.

    Raises ConfigError when it is made: for a budget used up, for a tag that is not YAML's own or does not fit.
    """

    document: Document
    node: Node
    path: str = ""
    depth: int = 0

    def __post_init__(self) -> None:
        self.document.spend(self.node, self.path)
        if self.depth > self.document.limits.depth_max:
            raise self.error(f"more than {self.document.limits.depth_max} levels, aliases expanded")
        if self.node.tag not in _KINDS[type(self.node)][1]:
            raise self.error(f"the tag {shown(self.node.tag.replace(TAG, '!!'))} means nothing here")
        if self.node.tag != _STR and isinstance(self.node, Scalar):
            self._check_tag(self.node)

    @property
    def place(self) -> Place:
        return Place(self.document.name, self.node.line, self.path)

    @property
    def is_null(self) -> bool:
        return bool(self.node.tag == _NULL)

    def error(self, reason: str) -> ConfigError:
        """The error that names the place of this value."""
        return self.place.error(reason)

    def items(self) -> Iterator[tuple[str, "Value"]]:
        """The pairs of a mapping. Raises ConfigError for another shape, a key that is no text, a key given twice."""
        for key, value in self._named():
            yield key.text, value

    def _named(self) -> Iterator[tuple[Scalar, "Value"]]:
        if not isinstance(self.node, Mapping):
            raise self._wrong("a mapping")
        seen: dict[str, tuple[Scalar, Value]] = {}
        for key_node, value_node in self._pairs(self.node):
            if not isinstance(key_node, Scalar):
                raise Place(self.document.name, key_node.line, self.path).error("a key must be a text")
            name = key_node.text
            path = _joined(self.path, name)
            key = Value(self.document, key_node, path, self.depth + 1)
            if name in seen:
                reason = f"the key {shown(name)} is given twice, first in line {seen[name][1].place.line}"
                self.document.mistake(key.place, reason)
            seen[name] = key_node, Value(self.document, value_node, path, self.depth + 1)
        yield from seen.values()

    def elements(self) -> Iterator["Value"]:
        """The elements of a list; none for null."""
        if self.is_null:
            return
        if not isinstance(self.node, Sequence):
            raise self._wrong("a list")
        for index, node in enumerate(self.node.elements):
            yield Value(self.document, node, f"{self.path}[{index}]", self.depth + 1)

    def text(self) -> str:
        """A scalar exactly as written; "" for null. Floats are refused: their text is rarely what was meant."""
        if not isinstance(self.node, Scalar):
            raise self._wrong("a text")
        if self.is_null:
            return ""
        raw = self.node.text
        fraction = self.node.tag == _FLOAT and ":" not in raw  # 1:30.5 is base 60, which the reference does not read
        if self._plain and (fraction or ("e" in raw.lower() and yaml_scalars.number(raw) is not None)):
            raise self.error(f"{shortened(raw, 80)} is a number with a fraction; quote it if it is a text")
        return raw

    def integer(self, most: int) -> int:
        """A YAML 1.1 integer from 0 to `most`: 10, 010 (8), 0x10, 1_000."""
        raw = self._scalar("a whole number")
        found = yaml_scalars.integer(raw)
        if found is None:
            raise self.error(f"{shown(raw)} is not a whole number")
        if not 0 <= found <= most:
            raise self.error(f"{shortened(raw, 80)} is not between 0 and {most}")
        return found

    def number(self) -> float:
        """A finite number, with a fraction or without."""
        raw = self._scalar("a number")
        found = yaml_scalars.number(raw)
        if found is None or not math.isfinite(found):
            raise self.error(f"{shown(raw)} is not a number")
        return found

    def boolean(self) -> bool:
        """A YAML 1.1 boolean: true, yes, on, y and their opposites."""
        raw = self._scalar("true or false")
        found = yaml_scalars.boolean(raw)
        if found is None:
            raise self.error(f"{shown(raw)} is neither true nor false")
        return found

    def json(self) -> Any:
        """A value of free form, as JSON knows it."""
        if isinstance(self.node, Mapping):
            return {
                yaml_scalars.free_key(key.text) if _is_free(key) else key.text: value.json()
                for key, value in self._named()
            }
        if isinstance(self.node, Sequence):
            return [value.json() for value in self.elements()]
        raw = self.node.text
        found = yaml_scalars.free(raw) if _is_free(self.node) else raw
        if isinstance(found, float) and not yaml_scalars.fits_json(found):
            raise self.error(f"{shortened(raw, 80)} is not a number that JSON knows")
        return found

    @property
    def _plain(self) -> bool:
        return isinstance(self.node, Scalar) and self.node.plain

    def _scalar(self, wanted: str) -> str:
        if not isinstance(self.node, Scalar):
            raise self._wrong(wanted)
        if not self._plain:
            raise self.error(f"{wanted} is wanted, not a quoted text")
        return self.node.text

    def _wrong(self, wanted: str) -> ConfigError:
        found = shown(self.node.text) if isinstance(self.node, Scalar) else _KINDS[type(self.node)][0]
        return self.error(f"{wanted} is wanted here, not {found}")

    def _check_tag(self, node: Scalar) -> None:
        """Hold a tag that was written out (`!!int x`) against what the text is without it."""
        implicit = implicit_tag(node.text)
        if node.tag != implicit and not (node.tag == _FLOAT and implicit == _INT):
            raise self.error(f"{shown(node.text)} does not fit its tag {node.tag.replace(TAG, '!!')}")

    def _pairs(self, node: Mapping, level: int = 0) -> Iterator[tuple[Node, Node]]:
        """The pairs of a mapping with its merge keys (`<<`) filled in; its own keys go first and win."""
        if level > self.document.limits.depth_max:
            raise self.error(f"merge keys nested more than {self.document.limits.depth_max} levels")
        own = [pair for pair in node.pairs if pair[0].tag != _MERGE]
        yield from own
        names = {key.text for key, _ in own if isinstance(key, Scalar)}
        for key, value in node.pairs:
            if key.tag != _MERGE:
                continue
            for source in value.elements if isinstance(value, Sequence) else [value]:
                if not isinstance(source, Mapping):
                    place = Place(self.document.name, source.line, _joined(self.path, "<<"))
                    raise place.error("a merge key takes a mapping or a list of mappings")
                self.document.spend(source, self.path)
                for inner, inherited in self._pairs(source, level + 1):
                    # Each level hands each pair on, so each pays: the work is what the budget bounds, not the outcome.
                    self.document.spend(inner, self.path)
                    if not isinstance(inner, Scalar):
                        yield inner, inherited
                    elif inner.text not in names:
                        names.add(inner.text)
                        yield inner, inherited


def _is_free(node: Scalar) -> bool:
    """Whether a scalar means what its text looks like: neither quoted nor tagged as a text."""
    return node.plain and (node.tag != _STR or implicit_tag(node.text) == _STR)


def read_root(document: Document, raw: bytes) -> Value | None:
    """Read the first document of a file; None where the file says nothing. Raises ConfigError."""
    root, several = compose(document.name, _decoded(document, raw), document.limits)
    if root is None or root.tag == _NULL:
        return None
    value = Value(document, root)
    if several:
        document.mistake(value.place, "the file holds more than one YAML document; only the first counts")
    return value


def read_roots(document: Document, raw: bytes) -> list[Value]:
    """Read every document of a file; those that say nothing are left out. Raises ConfigError."""
    roots = compose_all(document.name, _decoded(document, raw), document.limits)
    return [Value(document, root) for root in roots if root.tag != _NULL]


def _decoded(document: Document, raw: bytes) -> str:
    if len(raw) > document.limits.file_bytes_max:
        raise Place(document.name).error(f"larger than {document.limits.file_bytes_max} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Place(document.name, line).error(f"not UTF-8: {error.reason}") from None


def _joined(path: str, name: str) -> str:
    """The key path one level down. A name is shortened and made printable: a file could repeat it a million times."""
    legible = shortened(name, _NAME_CHARACTERS_MAX)
    if not legible.isprintable():
        legible = shown(legible)[1:-1]
    return f"{path}.{legible}" if path else legible
