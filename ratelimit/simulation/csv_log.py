"""A log of CSV lines below a header. Its columns are fields of templates, or themselves descriptors."""

import codecs
import csv
import io
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from itertools import islice
from operator import itemgetter

from ratelimit.descriptors.request import Request
from ratelimit.errors import LogError
from ratelimit.simulation.descriptor_columns import DescriptorColumns
from ratelimit.simulation.moments import Moment
from ratelimit.simulation.replay import Row
from ratelimit.simulation.rows import Recipe, Rows
from ratelimit.simulation.template import Template, Value

LUMP = 1_000
NO_JSON = " (no line begins with `{`, so it is read as CSV)"


class CsvLog:
    """Reads the header first: `names`. Raises LogError where there is none."""

    def __init__(self, file: io.BufferedReader) -> None:
        # What is not UTF-8 is told of its line, when it is asked for.
        decoded = partial(str, encoding="utf-8", errors="surrogateescape")
        if file.peek(3).startswith(codecs.BOM_UTF8):
            file.read(3)
        self._reader = csv.reader(map(decoded, file), strict=True)
        try:
            self.names = next(self._reader, [])
        except csv.Error as error:
            raise LogError(f"line 1: {error}") from None
        if not self.names:
            raise LogError(f"line 1: a header with the names of columns is wanted{NO_JSON}")
        self._time = 0
        self._columns: Sequence[int] = ()

    def recipe(self, time: str, template: Template | None, domain: str | None, hits: str | None) -> Recipe:
        """How lines become requests: by a template, else as the header says. Raises LogError."""
        self._time = self._column(time)
        if template is None:
            columns = DescriptorColumns(self.names, self._time, domain, hits)
            self._columns = columns.columns
            return columns
        # A dot in the name of a column is one.
        self._columns = [self._column(".".join(path)) for path in template.fields]
        return EmptyIsMissing(template)

    @property
    def alone(self) -> bool:
        """Whether a key is one value."""
        return len(self._columns) == 1

    def rows(self, rows: Rows) -> Iterator[list[Row]]:
        """The rows, lump by lump."""
        key = itemgetter(*self._columns) if self._columns else lambda _: ()
        width = {len(self.names)}
        while lump := list(islice(self._numbered(rows), LUMP)):
            whole = set(map(len, (cells for _, cells in lump))) == width
            try:
                times = [cells[self._time] for _, cells in lump] if whole else []
                yield rows.of(times, [key(cells) for _, cells in lump] if whole else [])
            except ValueError:
                whole = False
            if not whole:
                yield self._one_by_one(lump, rows)

    def _numbered(self, rows: Rows) -> Iterator[tuple[int, list[str]]]:
        """Lines that have cells, by their numbers; those that are no CSV are told."""
        while True:
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                rows.lines.read += 1
                rows.lines.breaks(self._reader.line_num, str(error))
                continue
            if cells:
                yield self._reader.line_num, cells

    def _one_by_one(self, lump: Sequence[tuple[int, list[str]]], rows: Rows) -> list[Row]:
        made = (rows.of_one(number, partial(self._read, cells)) for number, cells in lump)
        return [row for row in made if row is not None]

    def _read(self, cells: list[str]) -> tuple[Moment | None, Hashable]:
        if len(cells) != len(self.names):
            raise ValueError(f"{len(cells)} cells, and the header has {len(self.names)}")
        values = [cells[place] for place in self._columns]
        return cells[self._time], values[0] if self.alone else tuple(values)

    def _column(self, name: str) -> int:
        if name not in self.names:
            raise LogError(f"line 1: there is no column {name!r}: {', '.join(self.names)[:200]}{NO_JSON}")
        return self.names.index(name)


class EmptyIsMissing:
    """A template, filled from cells: CSV has no other way to say that there is nothing."""

    def __init__(self, template: Template) -> None:
        self._template = template

    def request(self, values: Sequence[Value]) -> Request | None:
        """The request of a line."""
        return self._template.request([value or None for value in values])
