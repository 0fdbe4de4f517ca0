"""/rlqs: who has what share of the limits that are divided over Envoys, as JSON.

`?domain=` shows one domain, `?envoy=` the buckets that an Envoy has a share of. A bucket has its limit, what is
assigned, held, wanted and refused (requests per second), and its Envoys; see docs/rlqs.md.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from typing import Any, Protocol

from aiohttp import web

BUCKETS_MAX = 1000
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class QuotaView(Protocol):
    """Who knows the shares."""

    def shares(self) -> Iterator[dict[str, Any]]:
        """One value for each bucket, made when it is asked for."""


class QuotaPage:
    """The handler. Without a view the shares are not here: the service is off, or workers have them."""

    def __init__(self, view: QuotaView | None) -> None:
        self._view = view

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """200 with the shares, or 503 with why there are none."""
        if self._view is None:
            reason = "no ledgers in this process: RLQS_ENABLED is false, or WORKERS is not 1 and the workers have them"
            return web.Response(status=503, text=json.dumps({"error": reason}), content_type="application/json")
        domain, envoy = request.query.get("domain"), request.query.get("envoy")
        found = [each async for each in _matching(self._view, domain, envoy)]
        value = {"buckets": found[:BUCKETS_MAX], "more": len(found) > BUCKETS_MAX}
        body = json.dumps(value, indent=2) + "\n"
        return web.Response(text=body, content_type="application/json", headers=HEADERS)


async def _matching(view: QuotaView, domain: str | None, envoy: str | None) -> AsyncIterator[dict[str, Any]]:
    """The buckets that are asked for, and one more than are shown; the event loop runs after each."""

    def wanted(each: dict[str, Any]) -> bool:
        if domain is not None and each["domain"] != domain:
            return False
        return envoy is None or any(share["envoy"] == envoy for share in each["envoys"])

    for each in islice(filter(wanted, view.shares()), BUCKETS_MAX + 1):
        yield each
        await asyncio.sleep(0)
