import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from ratelimit.admin import quota_page
from ratelimit.admin.quota_page import QuotaPage


class View:
    """Three limits."""

    def shares(self) -> Iterator[dict[str, Any]]:
        for number in range(3):
            yield {"domain": f"d{number % 2}", "entries": [], "envoys": [{"envoy": f"e{number}"}]}


async def asked(page: QuotaPage, query: str = "") -> tuple[int, dict[str, Any]]:
    """Status and value."""
    response = await page.handle(make_mocked_request("GET", f"/rlqs{query}"))
    assert isinstance(response, web.Response)
    assert isinstance(response.text, str)
    return response.status, json.loads(response.text)


@pytest.mark.parametrize(
    ("query", "envoys"),
    [("", ["e0", "e1", "e2"]), ("?domain=d0", ["e0", "e2"]), ("?envoy=e1", ["e1"]), ("?domain=d0&envoy=e1", [])],
)
async def test_shares_are_shown_as_asked_for(query: str, envoys: list[str]) -> None:
    """All, those of a domain, those of an Envoy."""
    status, value = await asked(QuotaPage(View()), query)
    assert (status, value["more"]) == (200, False)
    assert [bucket["envoys"][0]["envoy"] for bucket in value["buckets"]] == envoys


async def test_buckets_shown_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said that there are more."""
    monkeypatch.setattr(quota_page, "BUCKETS_MAX", 2)
    _, value = await asked(QuotaPage(View()))
    assert (len(value["buckets"]), value["more"]) == (2, True)


async def test_without_ledgers_it_says_why() -> None:
    """The service is off, or workers have them."""
    status, value = await asked(QuotaPage(None))
    assert (status, "WORKERS" in value["error"]) == (503, True)
