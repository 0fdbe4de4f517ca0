"""YAML with places: every value knows its line and key path, and nothing is read beyond the caps.

Goals: a text means what is written (`value: yes` is the text "yes"), every error names file, line and key path, and no
file can make the process slow or large. So the events are counted before anything is composed, and the composed nodes
are converted by the schema that reads them, not by YAML's guesses.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ratelimit.errors import ConfigError

_NULL = "tag:yaml.org,2002:null"
_FLOAT = "tag:yaml.org,2002:float"
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+")
_INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]*|[1-9][0-9_]*)")
_TRUE = frozenset(("y", "yes", "on", "true"))
_FALSE = frozenset(("n", "no", "off", "false"))


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """The caps of one file: bytes, levels of nesting, nodes (with aliases expanded) and aliases."""

    file_bytes_max: int = 4 * 1024 * 1024
    depth_max: int = 64
    nodes_max: int = 500_000
    aliases_max: int = 1_000


@dataclass(slots=True)
class Document:
    """One file while it is read; `warnings` collects what the lenient mode lets pass."""

    name: str
    limits: LoadLimits
    strict: bool = True
    warnings: list[str] = field(default_factory=list)
    nodes: int = 0

    def error(self, value: "Value", reason: str) -> ConfigError:
        """The error that names the place of `value`."""
        return ConfigError(reason, file=self.name, line=value.line, key_path=value.path)

    def mistake(self, value: "Value", reason: str) -> None:
        """Raise in strict mode; in lenient mode the mistake becomes a warning."""
        error = self.error(value, reason)
        if self.strict:
            raise error
        self.warnings.append(str(error))


@dataclass(slots=True)
class Value:
    """One YAML node and where it stands; `path` is like ``descriptors[1].rate_limit.unit``."""

    document: Document
    node: yaml.Node
    path: str = ""
    depth: int = 0

    def __post_init__(self) -> None:
        self.document.nodes += 1
        if self.document.nodes > self.document.limits.nodes_max:
            raise self.document.error(self, f"more than {self.document.limits.nodes_max} nodes, aliases expanded")
        if self.depth > self.document.limits.depth_max:
            raise self.document.error(self, f"more than {self.document.limits.depth_max} levels, aliases expanded")

    @property
    def line(self) -> int:
        return int(self.node.start_mark.line) + 1

    @property
    def is_null(self) -> bool:
        return self.node.tag == _NULL

    def items(self) -> Iterator[tuple[str, "Value"]]:
        """The pairs of a mapping. Raises ConfigError for another shape, a key that is no text, a key given twice."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self._wrong("a mapping")
        seen: dict[str, Value] = {}
        for key_node, value_node in _merged(self.node):
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.document.error(Value(self.document, key_node, self.path), "a key must be a text")
            name = str(key_node.value)
            place = Value(self.document, value_node, f"{self.path}.{name}" if self.path else name, self.depth + 1)
            if name in seen:
                first = seen[name].line
                at = Value(self.document, key_node, place.path)
                self.document.mistake(at, f"the key {name!r} is given twice, first in line {first}")
            seen[name] = place
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
        if self._plain and (self.node.tag == _FLOAT or _EXPONENT.fullmatch(self.node.value)):
            raise self.document.error(self, f"{self.node.value} is a number with a fraction; quote it if it is a text")
        return str(self.node.value)

    def integer(self, most: int) -> int:
        """A YAML 1.1 integer from 0 to `most`: 10, 010 (8), 0x10, 1_000."""
        raw = self._scalar("a whole number")
        if not _INTEGER.fullmatch(raw):
            raise self.document.error(self, f"{raw!r} is not a whole number")
        number = _integer(raw.replace("_", ""))
        if not 0 <= number <= most:
            raise self.document.error(self, f"{raw} is not between 0 and {most}")
        return number

    def boolean(self) -> bool:
        """A YAML 1.1 boolean: true, yes, on, y and their opposites."""
        raw = self._scalar("true or false")
        if raw not in {raw.lower(), raw.upper(), raw.title()} or raw.lower() not in _TRUE | _FALSE:
            raise self.document.error(self, f"{raw!r} is neither true nor false")
        return raw.lower() in _TRUE

    def json(self) -> Any:
        """A value of free form, as JSON knows it."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.json() for key, value in self.items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [value.json() for value in self.elements()]
        value = yaml.SafeLoader("").construct_object(self.node) if self._plain else self.node.value
        if isinstance(value, float) and not float("-inf") < value < float("inf"):
            raise self.document.error(self, f"{self.node.value} is not a number that JSON knows")
        return value if value is None or isinstance(value, str | bool | int | float) else str(self.node.value)

    @property
    def _plain(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode) and not self.node.style

    def _scalar(self, wanted: str) -> str:
        if not isinstance(self.node, yaml.ScalarNode):
            raise self._wrong(wanted)
        if not self._plain:
            raise self.document.error(self, f"{wanted} is wanted, not a quoted text")
        return str(self.node.value)

    def _wrong(self, wanted: str) -> ConfigError:
        found = repr(str(self.node.value))[:80]
        if not isinstance(self.node, yaml.ScalarNode):
            found = "a mapping" if isinstance(self.node, yaml.MappingNode) else "a list"
        return self.document.error(self, f"{wanted} is wanted here, not {found}")


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
        document.mistake(value, "the file holds more than one YAML document; only the first counts")
    return value


def _decoded(document: Document, raw: bytes) -> str:
    if len(raw) > document.limits.file_bytes_max:
        raise ConfigError(f"larger than {document.limits.file_bytes_max} bytes", file=document.name)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"not UTF-8: {error.reason}", file=document.name, line=line) from None


def _check_caps(document: Document, text: str) -> bool:
    """Count the events without building anything; tells whether there is more than one document."""
    limits, depth, nodes, aliases, documents = document.limits, 0, 0, 0, 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        documents += isinstance(event, yaml.DocumentStartEvent)
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        for count, most, what in (
            (depth, limits.depth_max, "levels of nesting"),
            (nodes, limits.nodes_max, "nodes"),
            (aliases, limits.aliases_max, "aliases"),
        ):
            if count > most:
                line = event.start_mark.line + 1 if event.start_mark else None
                raise ConfigError(f"more than {most} {what}", file=document.name, line=line)
    return documents > 1


def _merged(node: yaml.MappingNode, depth: int = 0) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """The pairs of a mapping with its merge keys (`<<`) filled in; its own keys go first and win."""
    own = [pair for pair in node.value if pair[0].tag != "tag:yaml.org,2002:merge"]
    yield from own
    names = {key.value for key, _ in own if isinstance(key, yaml.ScalarNode)}
    for key, value in node.value:
        if key.tag != "tag:yaml.org,2002:merge" or depth > 8:
            continue
        sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                continue
            for inner, inherited in _merged(source, depth + 1):
                if isinstance(inner, yaml.ScalarNode) and inner.value not in names:
                    names.add(inner.value)
                    yield inner, inherited


def _integer(digits: str) -> int:
    sign, body = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
    if len(body) > 1 and body[0] == "0" and body[1] not in "xbo":
        return sign * int(body, 8)
    return sign * int(body, 0)


def _syntax_error(name: str, error: yaml.YAMLError) -> ConfigError:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        reason = " ".join(part for part in (error.context, error.problem) if part)
        return ConfigError(f"not YAML: {reason}", file=name, line=error.problem_mark.line + 1)
    return ConfigError(f"not YAML: {error}".splitlines()[0], file=name)
