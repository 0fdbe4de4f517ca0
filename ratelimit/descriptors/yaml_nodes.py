"""YAML with places: every value knows its line and key path, and nothing is read beyond the caps.

Goals: a text means what is written (`value: yes` is the text "yes"), every error names file, line and key path, and no
file can make the process slow or large. So the events are counted before anything is composed, the composed nodes are
converted by the schema that reads them and not by YAML's guesses, and whatever aliases and merge keys unfold to is
paid for from one budget, where it is visited.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ratelimit.descriptors import yaml_scalars
from ratelimit.descriptors.specification import Place, shortened, shown
from ratelimit.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_STR, _NULL, _BOOL, _INT, _FLOAT = f"{_TAG}str", f"{_TAG}null", f"{_TAG}bool", f"{_TAG}int", f"{_TAG}float"
_MERGE, _VALUE, _TIMESTAMP = f"{_TAG}merge", f"{_TAG}value", f"{_TAG}timestamp"
_KINDS: dict[type[yaml.Node], tuple[str, frozenset[str]]] = {
    yaml.ScalarNode: ("a text", frozenset((_STR, _NULL, _BOOL, _INT, _FLOAT, _MERGE, _VALUE, _TIMESTAMP))),
    yaml.SequenceNode: ("a list", frozenset((f"{_TAG}seq",))),
    yaml.MappingNode: ("a mapping", frozenset((f"{_TAG}map",))),
}
WARNINGS_MAX = 100
_NAME_CHARACTERS_MAX = 60
# What one file may say, aliases expanded, as a multiple of its largest size.
_EXPANSION_MAX = 4


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """The caps of one file: bytes, levels of nesting, nodes (with aliases and merge keys expanded) and aliases."""

    file_bytes_max: int = 4 * 1024 * 1024
    depth_max: int = 64
    nodes_max: int = 500_000
    aliases_max: int = 1_000


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

    def spend(self, node: yaml.Node, path: str) -> None:
        """Pay for one visit of a node. Raises ConfigError when the budget of the file is used up."""
        self.nodes += 1
        if isinstance(node, yaml.ScalarNode):
            self.characters += len(node.value)
        characters_max = _EXPANSION_MAX * self.limits.file_bytes_max
        for count, most, what in (
            (self.nodes, self.limits.nodes_max, "nodes"),
            (self.characters, characters_max, "characters"),
        ):
            if count > most:
                raise Place(self.name, _line(node), path).error(
                    f"more than {most} {what}, with aliases expanded and merge keys filled in"
                )


@dataclass(slots=True)
class Value:
    """One YAML node and where it stands; `path` is like ``descriptors[1].rate_limit.unit``.

    Raises ConfigError when it is made: for a budget used up, for a tag that is not YAML's own or does not fit.
    """

    document: Document
    node: yaml.Node
    path: str = ""
    depth: int = 0

    def __post_init__(self) -> None:
        self.document.spend(self.node, self.path)
        if self.depth > self.document.limits.depth_max:
            raise self.error(f"more than {self.document.limits.depth_max} levels, aliases expanded")
        if self.node.tag not in _KINDS[type(self.node)][1]:
            raise self.error(f"the tag {shown(self.node.tag.replace(_TAG, '!!'))} means nothing here")
        if self.node.tag != _STR and isinstance(self.node, yaml.ScalarNode):
            self._check_tag(self.node)

    @property
    def place(self) -> Place:
        return Place(self.document.name, _line(self.node), self.path)

    @property
    def is_null(self) -> bool:
        return bool(self.node.tag == _NULL)

    def error(self, reason: str) -> ConfigError:
        """The error that names the place of this value."""
        return self.place.error(reason)

    def items(self) -> Iterator[tuple[str, "Value"]]:
        """The pairs of a mapping. Raises ConfigError for another shape, a key that is no text, a key given twice."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self._wrong("a mapping")
        seen: dict[str, Value] = {}
        for key_node, value_node in self._pairs(self.node):
            if not isinstance(key_node, yaml.ScalarNode):
                raise Place(self.document.name, _line(key_node), self.path).error("a key must be a text")
            name = str(key_node.value)
            path = _joined(self.path, name)
            key = Value(self.document, key_node, path, self.depth + 1)
            if name in seen:
                reason = f"the key {shown(name)} is given twice, first in line {seen[name].place.line}"
                self.document.mistake(key.place, reason)
            seen[name] = Value(self.document, value_node, path, self.depth + 1)
        yield from seen.items()

    def elements(self) -> Iterator["Value"]:
        """The elements of a list; none for null."""
        if self.is_null:
            return
        if not isinstance(self.node, yaml.SequenceNode):
            raise self._wrong("a list")
        for index, node in enumerate(self.node.value):
            yield Value(self.document, node, f"{self.path}[{index}]", self.depth + 1)

    def text(self) -> str:
        """A scalar exactly as written; "" for null. Floats are refused: their text is rarely what was meant."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self._wrong("a text")
        if self.is_null:
            return ""
        raw = str(self.node.value)
        if self._plain and (self.node.tag == _FLOAT or ("e" in raw.lower() and yaml_scalars.number(raw) is not None)):
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

    def boolean(self) -> bool:
        """A YAML 1.1 boolean: true, yes, on, y and their opposites."""
        raw = self._scalar("true or false")
        found = yaml_scalars.boolean(raw)
        if found is None:
            raise self.error(f"{shown(raw)} is neither true nor false")
        return found

    def json(self) -> Any:
        """A value of free form, as JSON knows it."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.json() for key, value in self.items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [value.json() for value in self.elements()]
        raw = str(self.node.value)
        if self.node.tag in {_INT, _FLOAT}:
            return self._number(raw)
        if self.node.tag == _TIMESTAMP and not yaml_scalars.is_date(raw):
            raise self.error(f"{raw} is no date; quote it if it is a text")
        return None if self.is_null else yaml_scalars.boolean(raw) if self.node.tag == _BOOL else raw

    @property
    def _plain(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode) and not self.node.style

    def _number(self, raw: str) -> float | str:
        if ":" in raw:  # base 60, which YAML 1.1 has for times of day: nobody means 90 with 1:30
            return raw
        found = yaml_scalars.integer(raw) if self.node.tag == _INT else yaml_scalars.number(raw)
        if found is None:
            raise self.error(f"{shown(raw)} is not a number")
        if not yaml_scalars.fits_json(found):
            raise self.error(f"{shortened(raw, 80)} is not a number that JSON knows")
        return found

    def _scalar(self, wanted: str) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self._wrong(wanted)
        if not self._plain:
            raise self.error(f"{wanted} is wanted, not a quoted text")
        return str(self.node.value)

    def _wrong(self, wanted: str) -> ConfigError:
        found = shown(self.node.value) if isinstance(self.node, yaml.ScalarNode) else _KINDS[type(self.node)][0]
        return self.error(f"{wanted} is wanted here, not {found}")

    def _check_tag(self, node: yaml.ScalarNode) -> None:
        """Hold a tag that was written out (`!!int x`) against what the text is without it."""
        implicit = _RESOLVER.resolve(yaml.ScalarNode, node.value, (True, False))
        if node.tag != implicit and not (node.tag == _FLOAT and implicit == _INT):
            raise self.error(f"{shown(node.value)} does not fit its tag {node.tag.replace(_TAG, '!!')}")

    def _pairs(self, node: yaml.MappingNode, level: int = 0) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """The pairs of a mapping with its merge keys (`<<`) filled in; its own keys go first and win."""
        if level > self.document.limits.depth_max:
            raise self.error(f"merge keys nested more than {self.document.limits.depth_max} levels")
        own = [pair for pair in node.value if pair[0].tag != _MERGE]
        yield from own
        names = {key.value for key, _ in own if isinstance(key, yaml.ScalarNode)}
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode):
                    place = Place(self.document.name, _line(source), _joined(self.path, "<<"))
                    raise place.error("a merge key takes a mapping or a list of mappings")
                self.document.spend(source, self.path)
                for inner, inherited in self._pairs(source, level + 1):
                    # Each level hands each pair on, so each pays: the work is what the budget bounds, not the outcome.
                    self.document.spend(inner, self.path)
                    if not isinstance(inner, yaml.ScalarNode):
                        yield inner, inherited
                    elif inner.value not in names:
                        names.add(inner.value)
                        yield inner, inherited


def compose(document: Document, raw: bytes) -> Value | None:
    """Read the first document of a file; None where the file says nothing. Raises ConfigError."""
    text = _decoded(document, raw)
    try:
        several = _check_caps(document, text)
        root = next(iter(yaml.compose_all(text, Loader=yaml.CSafeLoader)), None)
    except yaml.YAMLError as error:
        raise _syntax_error(document.name, error) from None
    if root is None or root.tag == _NULL:
        return None
    value = Value(document, root)
    if several:
        document.mistake(value.place, "the file holds more than one YAML document; only the first counts")
    return value


def _decoded(document: Document, raw: bytes) -> str:
    if len(raw) > document.limits.file_bytes_max:
        raise Place(document.name).error(f"larger than {document.limits.file_bytes_max} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Place(document.name, line).error(f"not UTF-8: {error.reason}") from None


def _check_caps(document: Document, text: str) -> bool:
    """Count the events without building anything; tells whether there is more than one document."""
    limits, depth, nodes, aliases, documents = document.limits, 0, 0, 0, 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        documents += isinstance(event, yaml.DocumentStartEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > limits.depth_max or nodes > limits.nodes_max or aliases > limits.aliases_max:
            most, what = (
                (limits.depth_max, "levels of nesting")
                if depth > limits.depth_max
                else (limits.nodes_max, "nodes")
                if nodes > limits.nodes_max
                else (limits.aliases_max, "aliases")
            )
            line = event.start_mark.line + 1 if event.start_mark else None
            raise Place(document.name, line).error(f"more than {most} {what}")
    return documents > 1


def _joined(path: str, name: str) -> str:
    """The key path one level down. A name is shortened and made printable: a file could repeat it a million times."""
    legible = shortened(name, _NAME_CHARACTERS_MAX)
    if not legible.isprintable():
        legible = shown(legible)[1:-1]
    return f"{path}.{legible}" if path else legible


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _syntax_error(name: str, error: yaml.YAMLError) -> ConfigError:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        reason = " ".join(part for part in (error.context, error.problem) if part)
        return Place(name, error.problem_mark.line + 1).error(f"not YAML: {reason}")
    return Place(name).error(f"not YAML: {error}".splitlines()[0])


_RESOLVER: Any = yaml.SafeLoader("")
