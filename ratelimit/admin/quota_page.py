"""/rlqs: who has what share of the limits that are divided over Envoys, as JSON.

`?domain=` shows one domain, `?envoy=` the buckets that an Envoy has a share of, `?words=` those with each of these
words in domain or entries, `?buckets=` that many at most. `?open=` leaves out the Envoys of all buckets but the one of
this id. A bucket has its limit, what is assigned, held, wanted and refused (requests per second), and its Envoys; see
docs/rlqs.md.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

from aiohttp import web

BUCKETS_MAX = 1000
ENVOYS_MAX = 100
LOOKED_AT_ONCE = 100
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_Key = tuple[str, Sequence[tuple[str, str]]]


class QuotaView(Protocol):
    """Who knows the shares."""

    def shares(self) -> Iterator[tuple[_Key, Callable[[int], dict[str, Any]]]]:
        """Of each bucket its domain and entries, and what makes its value, with so many Envoys at most."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a query asks for."""

    domain: str | None
    envoy: str | None
    words: Sequence[str]
    buckets_max: int
    open_id: str | None

    def has(self, key: _Key) -> bool:
        """Whether domain and words are those of this bucket."""
        domain, entries = key
        if self.domain is not None and domain != self.domain:
            return False
        if not self.words:
            return True
        text = " ".join([domain, *(part for entry in entries for part in entry)]).lower()
        return all(word in text for word in self.words)

    def take(self, key: _Key, make: Callable[[int], dict[str, Any]]) -> dict[str, Any] | None:
        """The value of a bucket, or None where the Envoy that is asked for has no share of it."""
        own_id = _id_of(key)
        closed = self.open_id is not None and own_id != self.open_id
        value = make(0 if closed and self.envoy is None else ENVOYS_MAX)
        if self.envoy is not None and all(share["envoy"] != self.envoy for share in value["envoys"]):
            return None
        return {"id": own_id, **value, **({"envoys": []} if closed else {})}


class QuotaPage:
    """The handler. Without a view the shares are not here: the service is off, or workers have them."""

    def __init__(self, view: QuotaView | None) -> None:
        self._view = view

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """200 with the shares, 400 for a number of buckets that is none, or 503 with why there are none."""
        if self._view is None:
            reason = "no ledgers in this process: RLQS_ENABLED is false, or WORKERS is not 1 and the workers have them"
            return web.Response(status=503, text=json.dumps({"error": reason}), content_type="application/json")
        try:
            asked = _asked(request.query)
        except ValueError as error:
            return web.Response(status=400, text=json.dumps({"error": str(error)}), content_type="application/json")
        body = json.dumps(await _found(self._view, asked), indent=2) + "\n"
        return web.Response(text=body, content_type="application/json", headers=HEADERS)


def _asked(query: Mapping[str, str]) -> _Asked:
    """Raises ValueError."""
    buckets = query.get("buckets", str(BUCKETS_MAX))
    if not (buckets.isascii() and buckets.isdecimal() and len(buckets) <= len(str(BUCKETS_MAX)) and int(buckets)):
        raise ValueError(f"buckets: a number from 1 to {BUCKETS_MAX} is wanted")
    words = query.get("words", "").lower().split()
    return _Asked(query.get("domain"), query.get("envoy"), words, min(int(buckets), BUCKETS_MAX), query.get("open"))


async def _found(view: QuotaView, asked: _Asked) -> dict[str, Any]:
    """The buckets that are asked for, and whether there are more; the event loop runs after each that is made."""
    found: list[dict[str, Any]] = []
    for number, (key, make) in enumerate(view.shares()):
        if number % LOOKED_AT_ONCE == 0:
            await asyncio.sleep(0)
        if not asked.has(key):
            continue
        value = asked.take(key, make)
        if value is None:
            continue
        if len(found) == asked.buckets_max:
            return {"buckets": found, "more": True}
        found.append(value)
        await asyncio.sleep(0)
    return {"buckets": found, "more": False}


def _id_of(key: _Key) -> str:
    """The same for the same bucket, also after a restart."""
    domain, entries = key
    text = json.dumps([domain, [list(entry) for entry in entries]])
    return blake2b(text.encode(), digest_size=8).hexdigest()
