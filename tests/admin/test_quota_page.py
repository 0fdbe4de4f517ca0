import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from ratelimit.admin import quota_page
from ratelimit.admin.quota_page import QuotaPage
from ratelimit.service.rlqs.limits import LedgerKey


class View:
    """Three limits of two Envoys each; `made` is what was asked for."""

    def __init__(self) -> None:
        self.made: list[tuple[int, int]] = []

    def shares(self) -> Iterator[tuple[LedgerKey, Callable[[int], dict[str, Any]]]]:
        for number in range(3):
            yield (f"d{number % 2}", (("User", f"u{number}"),)), partial(self._make, number)

    def _make(self, number: int, envoys_max: int) -> dict[str, Any]:
        self.made.append((number, envoys_max))
        envoys = [{"envoy": f"e{number}"}, {"envoy": "all"}][:envoys_max]
        return {"domain": f"d{number % 2}", "envoys_all": 2, "envoys": envoys}


async def asked(page: QuotaPage, query: str = "") -> tuple[int, dict[str, Any]]:
    """Status and value."""
    response = await page.handle(make_mocked_request("GET", f"/rlqs{query}"))
    assert isinstance(response, web.Response)
    assert isinstance(response.text, str)
    return response.status, json.loads(response.text)


@pytest.mark.parametrize(
    ("query", "envoys"),
    [
        ("", ["e0", "e1", "e2"]),
        ("?domain=d0", ["e0", "e2"]),
        ("?envoy=e1", ["e1"]),
        ("?domain=d0&envoy=e1", []),
        ("?words=USER+u1", ["e1"]),
        ("?words=d0+user", ["e0", "e2"]),
        ("?words=d1+u2", []),
        ("?words=", ["e0", "e1", "e2"]),
    ],
)
async def test_shares_are_shown_as_asked_for(query: str, envoys: list[str]) -> None:
    """All, those of a domain, those of an Envoy, those with words."""
    status, value = await asked(QuotaPage(View()), query)
    assert (status, value["more"]) == (200, False)
    assert [bucket["envoys"][0]["envoy"] for bucket in value["buckets"]] == envoys


async def test_a_bucket_that_is_not_wanted_is_not_made() -> None:
    """Values cost much more than to look at domain and entries."""
    view = View()
    await asked(QuotaPage(view), "?words=u1")
    await asked(QuotaPage(view), "?buckets=1&open=")
    assert view.made == [(1, quota_page.ENVOYS_MAX), (0, 0), (1, 0)]


async def test_envoys_are_shown_of_the_bucket_that_is_open() -> None:
    """By its id; all others say how many they have. An Envoy that is asked for is looked for in each."""
    page = QuotaPage(View())
    _, value = await asked(page)
    ids = [bucket["id"] for bucket in value["buckets"]]
    assert len(set(ids)) == 3
    for query in (f"?open={ids[1]}", f"?open={ids[1]}&envoy=all"):
        _, value = await asked(page, query)
        assert [len(bucket["envoys"]) for bucket in value["buckets"]] == [0, 2, 0]
        assert [bucket["envoys_all"] for bucket in value["buckets"]] == [2, 2, 2]


@pytest.mark.parametrize("buckets", ["0", "-1", "x", "", "\u0661", "10000"])
async def test_a_number_of_buckets_that_is_none_is_told(buckets: str) -> None:
    """With what is wanted."""
    status, value = await asked(QuotaPage(View()), f"?buckets={quote(buckets)}")
    assert (status, value) == (400, {"error": "buckets: a number from 1 to 1000 is wanted"})


async def test_buckets_shown_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is said that there are more."""
    monkeypatch.setattr(quota_page, "BUCKETS_MAX", 2)
    for query, shown in (("", 2), ("?buckets=1", 1), ("?buckets=2", 2), ("?buckets=3", 2)):
        _, value = await asked(QuotaPage(View()), query)
        assert (len(value["buckets"]), value["more"]) == (shown, True)


async def test_without_ledgers_it_says_why() -> None:
    """The service is off, or workers have them."""
    status, value = await asked(QuotaPage(None))
    assert (status, "WORKERS" in value["error"]) == (503, True)
