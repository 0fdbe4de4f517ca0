"""YAML of Envoy and Kubernetes as plain values, each with its place; whoever asks for what is not there gets nothing.

Protobuf's JSON has two spellings of a field, `rate_limits` and `rateLimits`: asked for by the first, found by both.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ratelimit.descriptors.specification import Place
from ratelimit.descriptors.yaml_composer import Mapping as MappingNode
from ratelimit.descriptors.yaml_composer import Scalar, Sequence
from ratelimit.descriptors.yaml_nodes import Value
from ratelimit.errors import ConfigError

_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")
_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)s")


@dataclass(slots=True)
class Item:
    """One value. `fields` are those of a mapping, `elements` those of a list; a scalar has its `text` as written.

    `given` is False for what is not there; its place is then that of what should hold it.
    """

    place: Place
    fields: Mapping[str, "Item"] = field(default_factory=dict)
    elements: list["Item"] = field(default_factory=list)
    text: str = ""
    given: bool = True

    def get(self, name: str, *names: str) -> "Item":
        """A field, or one further down."""
        found = self.fields.get(name) or self.fields.get(camel(name)) or Item(self.place, given=False)
        return found.get(*names) if names else found

    def named(self) -> Iterator[tuple[str, "Item"]]:
        """The fields by their first spelling."""
        for name, item in self.fields.items():
            yield snake(name), item

    @property
    def is_true(self) -> bool:
        """Whether it is a boolean that is set."""
        return self.text == "true"

    def within(self) -> Iterator["Item"]:
        """The item itself, and everything in it."""
        yield self
        for inner in (*self.fields.values(), *self.elements):
            yield from inner.within()


def item_of(value: Value) -> Item:
    """Read a value whole. Raises ConfigError for tags that mean nothing, and for budgets used up."""
    node = value.node
    if isinstance(node, MappingNode):
        return Item(value.place, fields={name: item_of(inner) for name, inner in value.items()})
    if isinstance(node, Sequence):
        return Item(value.place, elements=[item_of(inner) for inner in value.elements()])
    return Item(value.place, text=_text(value, node), given=not value.is_null)


def _text(value: Value, node: Scalar) -> str:
    if not node.plain:
        return node.text
    try:
        found = value.json()
    except ConfigError:  # a number that JSON does not know
        return node.text
    # y and n are texts to Kubernetes and Envoy, as long as nothing asks for a boolean.
    if isinstance(found, bool) and len(node.text) > 1:
        return str(found).lower()
    return "" if found is None else node.text


def camel(name: str) -> str:
    """The other spelling of a field."""
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def snake(name: str) -> str:
    """The first spelling of a field, from either."""
    return _HUMP.sub(lambda found: f"_{found[1].lower()}", name)


def duration_s(item: Item) -> float | None:
    """Seconds of protobuf's durations, `0.25s`; None for what is none."""
    found = _DURATION.fullmatch(item.text)
    return float(found[1]) if found else None


def number(item: Item) -> int | None:
    """A whole number that is not negative; None for what is none."""
    return int(item.text) if item.text.isascii() and item.text.isdigit() and len(item.text) < 20 else None
