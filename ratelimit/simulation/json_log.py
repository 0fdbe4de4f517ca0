"""A log of JSON objects, one a line. Only the fields that are asked for are decoded."""

from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import msgspec

from ratelimit.errors import LogError
from ratelimit.simulation.moments import Moment
from ratelimit.simulation.replay import Row
from ratelimit.simulation.rows import Rows
from ratelimit.simulation.template import FieldPath, Value

# Values of the fast way. True and 1 are one key to a dictionary, so booleans go line by line, and become texts.
_COMMON = str | int | None
_ANY = str | int | float | bool | None
# A field by its name: those within it, None for a value.
_Tree = dict[str, "_Tree | None"]


class JsonLog:
    """Reads values at `fields`, and the time at `time`."""

    def __init__(self, time: FieldPath, fields: Sequence[FieldPath]) -> None:
        """Raises LogError where one field is within another."""
        tree: _Tree = {}
        for path in (time, *fields):
            _plant(tree, path)
        self._paths = [_attributes(tree, path) for path in (time, *fields)]
        # A time is a number as well, unless it is a value too.
        wide = () if time in fields else time
        self._lines = msgspec.json.Decoder(_struct(tree, _COMMON, wide))
        self._line = msgspec.json.Decoder(_struct(tree, _ANY, wide))
        self._time = attrgetter(".".join(self._paths[0]))
        self._key = attrgetter(*map(".".join, self._paths[1:])) if fields else lambda _: ()

    def rows(self, blocks: Iterator[bytes], rows: Rows) -> Iterator[list[Row]]:
        """The rows of each block."""
        number = 0
        for block in blocks:
            try:
                found = self._lines.decode_lines(block)
                made = rows.of(list(map(self._time, found)), map(self._key, found))
            except (ValueError, AttributeError, RecursionError):
                made = self._one_by_one(block, number, rows)
            number += block.count(b"\n")
            yield made

    def _one_by_one(self, block: bytes, before: int, rows: Rows) -> list[Row]:
        made = []
        for number, line in enumerate(block.split(b"\n"), before + 1):
            if line.strip():
                row = rows.of_one(number, partial(self._read, line))
                if row is not None:
                    made.append(row)
        return made

    def _read(self, line: bytes) -> tuple[Moment | None, Hashable]:
        try:
            found = self._line.decode(line)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from None
        except RecursionError:
            raise ValueError("is nested too deeply") from None
        time, *values = [_at(found, path) for path in self._paths]
        if time is None:
            raise ValueError("there is no time in it (--time names its field)")
        texts: list[Value] = [_text(value) for value in values]
        return time, texts[0] if len(texts) == 1 else tuple(texts)


def _plant(tree: _Tree, path: FieldPath) -> None:
    *above, last = path
    for name in above:
        below = tree.setdefault(name, {})
        if below is None:
            raise _both(path)
        tree = below
    if tree.setdefault(last, None) is not None:
        raise _both(path)


def _both(path: FieldPath) -> LogError:
    return LogError(f"{'.'.join(path)}: a field cannot be a value and hold another field too")


def _attributes(tree: _Tree, path: FieldPath) -> list[str]:
    """Where the structures have a field: names of our own, since those of a log may be any text."""
    found: list[str] = []
    node: _Tree | None = tree
    for name in path:
        assert node is not None  # noqa: S101 - all paths are planted
        found.append(f"f{list(node).index(name)}")
        node = node[name]
    return found


def _struct(tree: _Tree, value: Any, wide: FieldPath) -> type[msgspec.Struct]:
    """The structure of what is decoded of a line: values of one type, and at the path `wide` of any."""
    fields: list[tuple[str, Any, Any]] = []
    for index, (name, below) in enumerate(tree.items()):
        at = wide[1:] if wide[:1] == (name,) else None
        kind = value if at != () else _ANY
        if below is not None:
            kind = _struct(below, value, at or ()) | None
        fields.append((f"f{index}", kind, msgspec.field(name=name, default=None)))
    return msgspec.defstruct("Line", fields, gc=False)


def _at(found: Any, path: Sequence[str]) -> Any:
    for name in path:
        if found is None:
            return None
        found = getattr(found, name)
    return found


def _text(value: Any) -> Value:
    """A value of _ANY as one of _COMMON."""
    if isinstance(value, bool | float):
        return repr(value).lower()
    return value
