import asyncio
import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from ratelimit.admin import explain_page
from ratelimit.admin.explain_page import HEADERS, ExplainPage
from ratelimit.clock import SteppedClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.tree import Config
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.settings import load_settings
from tests.admin.running import ASK, Admin

CONFIG = load_config(
    [ConfigFile("f", b"domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 2}}]")]
)


class Answering:
    """Answers as it is told to, under the configuration that it has."""

    def __init__(self, answer: bytes | RpcError | None = b"", config: Config | None = CONFIG) -> None:
        self.answer, self.config = answer, config
        self.asked: list[bool] = []

    async def ask(self, message: bytes, *, counted: bool = False) -> bytes:
        self.asked.append(counted)
        if self.answer is None:
            await asyncio.get_running_loop().create_future()
        if isinstance(self.answer, RpcError):
            raise self.answer
        return self.answer or b""


async def shown(service: Answering, accept: str = "", **query: Any) -> tuple[int, str]:
    """Status and body of a GET."""
    path = f"/explain?{urlencode(query, doseq=True)}" if query else "/explain"
    request = make_mocked_request("GET", path, headers={"Accept": accept})
    response = await ExplainPage(load_settings({}), service, SteppedClock()).handle(request)
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    return response.status, response.text or ""


async def get(admin: Admin, **query: Any) -> Any:
    """The JSON of the live page."""
    url = f"http://127.0.0.1:{admin.server.ports['debug']}/explain"
    async with aiohttp.ClientSession() as session, session.get(url, params=query) as response:
        assert response.status == 200
        return await response.json()


async def test_the_count_is_read_and_not_raised(admin: Admin) -> None:
    """What is used now is looked up; looking creates no counter and adds to none."""
    (before,) = (await get(admin, domain="d", entries="k=v"))["descriptors"]
    assert (before["current"]["remaining"], before["current"]["used"]) == (2, 0)
    assert len(admin.store) == 0
    for used in (1, 2):
        await admin.get("http", "/json", ASK)
        for _ in range(2):
            (after,) = (await get(admin, domain="d", entries="k=v"))["descriptors"]
            assert (after["current"]["used"], after["current"]["at_least"]) == (used, used == 2)
            assert 0 < after["current"]["resets_in_s"] <= 60
    assert len(admin.store) == 1


async def test_the_counter_is_the_one_that_the_store_has(admin: Admin) -> None:
    """By its name."""
    await admin.get("http", "/json", ASK)
    (told,) = (await get(admin, domain="d", entries="k=v"))["descriptors"]
    assert admin.store.expires_at(told["counter"]["key"].encode(), told["counter"]["window_start"]) is not None


async def test_several_descriptors() -> None:
    """An empty line or another parameter begins the next; nothing is looked up where nothing is counted."""
    service = Answering()
    status, text = await shown(service, domain="d", entries=["\n\nno=1\r\nx=\r\n\r\n\nno=2", "no=3"])
    assert status == 200
    assert [each["entries"] for each in json.loads(text)["descriptors"]] == [
        [["no", "1"], ["x", ""]],
        [["no", "2"]],
        [["no", "3"]],
    ]
    assert service.asked == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (RpcError(GrpcStatus.UNAVAILABLE, "the store is away"), "not known: the store is away"),
        (None, "not known: no answer within 0.01 s"),
        (b"\x12\x02\x08\x01", "not known: another configuration is in force meanwhile"),
        (b"", "not known: another configuration is in force meanwhile"),
    ],
)
async def test_what_is_not_known_is_said(
    answer: bytes | RpcError | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is away, an answer that does not come, a reload in between: the rest is explained all the same."""
    monkeypatch.setattr(explain_page, "LOOK_S", 0.01)
    service = Answering(answer)
    status, text = await shown(service, domain="d", entries="k=v")
    (each,) = json.loads(text)["descriptors"]
    assert (status, each["current"], each["limit"]["line"]) == (200, {"told": reason}, 2)
    assert service.asked == [True]


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ({"domain": "d", "entries": "k"}, 400, "k: key=value is wanted"),
        ({"domain": "d"}, 400, "rate limit descriptor list must not be empty"),
        ({}, 400, "rate limit domain must not be empty"),
        ({"domain": "d", "entries": "\n\n".join(["k=v"] * 5)}, 400, "5 descriptors, at most 4"),
    ],
)
async def test_a_question_that_is_none(query: dict[str, str], status: int, reason: str) -> None:
    """400 and why, in JSON and on the page."""
    found, text = await shown(Answering(), **query)
    assert found == status
    assert reason in json.loads(text)["error"]
    if query:
        found, text = await shown(Answering(), "text/html", **query)
        assert found == status
        assert reason in text


async def test_before_the_first_configuration() -> None:
    """503."""
    assert (await shown(Answering(config=None), domain="d", entries="k=v"))[0] == 503


async def test_a_browser_gets_a_form_and_then_the_answer() -> None:
    """By Accept; the form keeps what was asked."""
    assert "Answer" not in (await shown(Answering(), "text/html,*/*"))[1]
    status, text = await shown(Answering(), "text/html,*/*", domain="d", entries="k=v")
    assert status == 200
    assert "2 per day (fixed_window), f:2" in text
    assert 'value="d"' in text
    assert re.search(r"<textarea[^>]*>\nk=v</textarea>", text)


async def test_the_policy_allows_the_files_of_the_page() -> None:
    """Its style and icon, and nothing else: no script, no style in it, no other origin."""
    _, text = await shown(Answering(), "text/html")
    assert re.findall('(?:href|src)="([^"]*)"', text) == ["page.svg", "page.css", "./"]
    assert "<style" not in text
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';")
    assert "unsafe" not in policy


async def test_nothing_that_was_sent_is_markup() -> None:
    """A hostile value in every field comes back escaped, and the page has no script or foreign address."""
    hostile = "</textarea></pre>\"'><script>alert(1)</script><img src=x onerror=y>"
    for query in ({"domain": hostile, "entries": f"{hostile}={hostile}"}, {"domain": "d", "entries": f"x{hostile}x"}):
        _, text = await shown(Answering(), "text/html", **query)
        tags = Tags()
        tags.feed(text)
        assert tags.names <= {
            *("html", "head", "meta", "title", "link", "body", "header", "main", "section", "h1", "h2", "form"),
            *("label", "span", "input", "textarea", "button", "pre", "a"),
        }
        assert tags.attributes <= {
            *("lang", "charset", "name", "content", "action", "method", "required", "value", "rows"),
            *("rel", "type", "href", "class"),
        }
        assert "://" not in text


async def test_only_reading(admin: Admin) -> None:
    """A POST is refused."""
    assert (await admin.get("debug", "/explain", b"x"))[0] == 405


async def test_a_question_beyond_utf_8() -> None:
    """What cannot be a counter's name is refused."""
    page = ExplainPage(load_settings({}), Answering())
    request = make_mocked_request("GET", "/explain")
    query = {"domain": "d", "entries": ["k=\ud800"]}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(request), "query", Query(query))
        response = await page.handle(request)
    assert response.status == 400
    assert "UTF-8" in (response.text or "")


class Tags(HTMLParser):
    """The names of tags and attributes of a page, as a browser reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


class Query(dict[str, Any]):
    """A query that no wire could bring."""

    def getall(self, name: str, default: list[str]) -> list[str]:
        return list(self.get(name, default))
