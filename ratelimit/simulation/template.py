r"""How fields of a log become a request: templates of descriptors.

    --descriptor 'header_match=%x-loyalty%_request|no_loyalty' --descriptor 'path=%path%,user=%user.id%'

A template is one descriptor: entries `key=value` with commas between them. In a value `%name%` stands for a field, a
dot in its name for a field within a field. What stands behind `|` is taken where a field of what stands before it is
missing; where nothing is left, the request has no such descriptor, as with an action of Envoy that does not apply.
`\` takes the character behind it for what it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ratelimit.descriptors.request import Descriptor, Request
from ratelimit.errors import LogError

Value = str | int | None
FieldPath = tuple[str, ...]
# What Envoy prints where there is nothing, in text formats and in JSON ones.
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Text:
    """Literal texts and fields, in turns: `texts` has one more than `fields`, which are indices into the values."""

    texts: tuple[str, ...]
    fields: tuple[int, ...]

    def filled(self, values: Sequence[Value]) -> str | None:
        """The text; None where a field is missing."""
        parts = [self.texts[0]]
        for index, text in zip(self.fields, self.texts[1:], strict=True):
            value = values[index]
            if value is None or value == NOTHING:
                return None
            parts += [str(value), text]
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a descriptor, and what may be its value: the first that can be filled."""

    key: str
    choices: tuple[Text, ...]

    def filled(self, values: Sequence[Value]) -> tuple[str, str] | None:
        """The entry; None where a field of each choice is missing."""
        for choice in self.choices:
            text = choice.filled(values)
            if text is not None:
                return self.key, text
        return None


class Template:
    """Makes a request from the values of `fields`, in their order.

    `hits` is the field that says how much a request costs: 0 looks, below 0 gives back, missing is 1.
    """

    def __init__(self, domain: str, descriptors: Sequence[str], hits: str | None = None) -> None:
        """Raises LogError for a template that is none."""
        found = _Fields()
        if not descriptors:
            raise LogError("--descriptor is wanted: which descriptors a line sends, such as 'user=%user%'")
        self._domain = Entry("", _choices(domain, "--domain", found))
        self._descriptors = [_entries(text, found) for text in descriptors]
        self._hits = None if hits is None else found.index_of(hits, f"--hits {hits}")
        self.fields: tuple[FieldPath, ...] = tuple(found.paths)

    def request(self, values: Sequence[Value]) -> Request | None:
        """The request; None where no descriptor is left. Raises ValueError for hits that are no number."""
        hits = 1 if self._hits is None else amount_of(values[self._hits])
        made = []
        for entries in self._descriptors:
            filled = [entry.filled(values) for entry in entries]
            whole = tuple(each for each in filled if each is not None)
            if len(whole) == len(filled):
                made.append(descriptor(whole, hits))
        domain = self._domain.filled(values)
        return Request(domain[1], tuple(made)) if made and domain is not None else None


def descriptor(entries: tuple[tuple[str, str], ...], hits: int) -> Descriptor:
    """A descriptor that costs so much, as the wire has it."""
    return Descriptor(entries, hits_addend=abs(hits), is_negative_hits=hits < 0)


def amount_of(value: Value) -> int:
    """A number of hits. Raises ValueError."""
    if value is None or value in ("", NOTHING):
        return 1
    text = str(value)
    if not re.fullmatch(r"-?[0-9]{1,10}", text):
        raise ValueError(f"hits {text[:40]!r} is no whole number")
    return int(text)


def path_of(name: str, place: str = "") -> FieldPath:
    """A dotted name as a path. Raises LogError for one with an empty part."""
    path = tuple(_unescaped(part) for part in split(name, "."))
    if not all(path):
        raise LogError(f"{place or name}: the name of a field is missing")
    return path


def split(text: str, at: str) -> list[str]:
    r"""The parts of `text` between `at`, but for those behind a `\`, which stay as they are."""
    parts, start, position = [], 0, 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == at:
            parts.append(text[start:position])
            start = position + 1
        position += 1
    return [*parts, text[start:]]


class _Fields:
    """The fields of all templates, each once."""

    def __init__(self) -> None:
        self.paths: list[FieldPath] = []

    def index_of(self, name: str, place: str) -> int:
        path = path_of(name, place)
        if path not in self.paths:
            self.paths.append(path)
        return self.paths.index(path)


def plain_entries(text: str, place: str) -> tuple[tuple[str, str], ...]:
    """Entries `key=value` with commas between them, without fields. Raises LogError."""
    return tuple((_unescaped(key), _unescaped(value)) for key, value in _pairs(text, place))


def _entries(text: str, found: _Fields) -> tuple[Entry, ...]:
    place = f"--descriptor {text}"
    return tuple(Entry(_unescaped(key), _choices(value, place, found)) for key, value in _pairs(text, place))


def _pairs(text: str, place: str) -> list[tuple[str, str]]:
    pairs = []
    for part in split(text, ","):
        key, *rest = split(part, "=")
        if not key or not rest:
            raise LogError(f"{place}: key=value is wanted, with commas between entries")
        pairs.append((key, "=".join(rest)))
    return pairs


def _choices(text: str, place: str, found: _Fields) -> tuple[Text, ...]:
    choices = []
    for choice in split(text, "|"):
        texts = split(choice, "%")
        if len(texts) % 2 == 0:
            raise LogError(f"{place}: a field is %name%, and one % of it is missing (\\% is the character)")
        fields = tuple(found.index_of(name, place) for name in texts[1::2])
        choices.append(Text(tuple(map(_unescaped, texts[::2])), fields))
    return tuple(choices)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
