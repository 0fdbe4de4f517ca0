"""A CSV log whose columns are descriptors, as its header says.

    time,domain,user,path,hits            one descriptor: each column that is none of the others' is an entry
    time,domain,descriptor,descriptor     each `descriptor` column is one, `user=ann,path=/` (quoted, as it has commas)

An empty cell is no entry, or no descriptor. `hits` may be left out, and `domain` where `--domain` says it.
"""

from collections.abc import Sequence

from ratelimit.descriptors.request import Request
from ratelimit.errors import LogError
from ratelimit.simulation.template import NOTHING, Value, amount_of, descriptor, plain_entries

DOMAIN, HITS, DESCRIPTOR = "domain", "hits", "descriptor"


class DescriptorColumns:
    """Makes requests of the cells of `columns`, which are indices into a line."""

    def __init__(self, header: Sequence[str], time: int, domain: str | None, hits: str | None) -> None:
        """`domain` and `hits` are what the options say. Raises LogError for a header that makes no requests."""
        self._header = header
        self._domain = domain
        self._at_domain = _index(header, DOMAIN) if domain is None else None
        self._at_hits = header.index(HITS) if hits is None and HITS in header else _index(header, hits)
        apart = {time, self._at_domain, self._at_hits}
        rest = [place for place, name in enumerate(header) if place not in apart and name != DOMAIN]
        self._whole = [place for place in rest if header[place] == DESCRIPTOR]
        self._entries = [place for place in rest if header[place] != DESCRIPTOR]
        if not rest:
            raise LogError("line 1: no column is a descriptor: `descriptor`, or the name of an entry's key")
        if self._whole and self._entries:
            raise LogError(f"line 1: beside `descriptor` no column can be an entry: {header[self._entries[0]]!r}")
        used = [place for place in (self._at_domain, self._at_hits) if place is not None]
        self.columns = [*used, *rest]

    def request(self, values: Sequence[Value]) -> Request | None:
        """The request; None where no descriptor is left. Raises ValueError for one that cannot be read."""
        cells = dict(zip(self.columns, map(str, values), strict=True))
        hits = 1 if self._at_hits is None else amount_of(cells[self._at_hits])
        domain = cells[self._at_domain] if self._at_domain is not None else self._domain or ""
        found = []
        for place in self._whole:
            if cells[place] not in ("", NOTHING):
                try:
                    found.append(plain_entries(cells[place], "descriptor"))
                except LogError as error:
                    raise ValueError(str(error)) from None
        entries = tuple((self._header[place], cells[place]) for place in self._entries if cells[place])
        if entries:
            found.append(entries)
        return Request(domain, tuple(descriptor(each, hits) for each in found)) if found else None


def _index(header: Sequence[str], name: str | None) -> int | None:
    if name is None:
        return None
    if name not in header:
        raise LogError(f"line 1: there is no column {name!r}: {', '.join(header)[:200]}")
    return header.index(name)
