import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import pytest

from ratelimit.admin import event_stream, live_page
from ratelimit.admin.live_page import FILES, LIST
from ratelimit.descriptors.loader import ConfigFile, load_config
from tests.admin.running import ASK, CONFIG, Admin

HTML = {"Accept": "text/html,application/xhtml+xml"}


async def fetch(admin: Admin, path: str, method: str = "GET", **headers: str) -> tuple[aiohttp.ClientResponse, str]:
    """The answer and its body."""
    address = f"http://127.0.0.1:{admin.server.ports['debug']}{path}"
    async with aiohttp.ClientSession() as session, session.request(method, address, headers=headers) as answer:
        return answer, await answer.text()


async def events(admin: Admin) -> AsyncGenerator[tuple[str, Any], None]:
    """Name and value of each event, as they come."""
    address = f"http://127.0.0.1:{admin.server.ports['debug']}/page/events"
    async with asyncio.timeout(60), aiohttp.ClientSession() as session, session.get(address) as answer:
        name = b""
        async for line in answer.content:
            if line.startswith(b"event: "):
                name = line[7:-1]
            elif line.startswith(b"data: "):
                yield name.decode(), json.loads(line[6:])


async def until_event(stream: AsyncGenerator[tuple[str, Any], None], wanted: str) -> Any:
    """The value of the next event of that name."""
    async for name, value in stream:
        if name == wanted:
            return value
    raise AssertionError(wanted)


async def test_a_browser_gets_the_page_and_others_the_list(admin: Admin) -> None:
    """By the Accept header, as caches are told; whoever knew the list gets it as before."""
    for headers, kind in ((HTML, "text/html"), ({"Accept": "*/*"}, "text/plain"), ({}, "text/plain")):
        answer, text = await fetch(admin, "/", **headers)
        assert (answer.status, answer.content_type, answer.headers["Vary"]) == (200, kind, "Accept")
        assert (text == LIST) == (kind == "text/plain")
    assert (await fetch(admin, "/", "POST", **HTML))[1] == LIST


async def test_nothing_of_the_page_comes_from_elsewhere(admin: Admin) -> None:
    """A strict policy: files of the service itself, no script or style within the page, no markup from script."""
    answer, text = await fetch(admin, "/", **HTML)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "<style" not in text
    assert " style=" not in text
    assert "//" not in text.replace("<!doctype html>", "")
    for name in FILES:
        answer, text = await fetch(admin, f"/{name}")
        assert answer.content_type == live_page._TYPES[name.rpartition(".")[2]]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "innerHTML" not in text
    assert (await fetch(admin, "/page.js", "POST"))[0].status == 405


async def test_the_limits_are_lines_of_rows(admin: Admin) -> None:
    """Those in force; none before the first configuration."""
    first, second = (await fetch(admin, "/page/limits"))[1].splitlines()
    assert json.loads(first)["limits"] == 1
    assert json.loads(second)["rows"][1][:4] == [1, "k", "", "2 / minute"]
    admin.service._snapshot = None
    assert json.loads((await fetch(admin, "/page/limits"))[1]) == {"tree": 0, "limits": 0}


async def test_numbers_come_as_they_change(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows by the number of the tree that /page/limits gives; another configuration has another number."""
    monkeypatch.setattr(event_stream, "TICK_S", 0.01)
    await admin.get("http", "/json", ASK)
    stream = events(admin)
    tree = json.loads((await fetch(admin, "/page/limits"))[1].splitlines()[0])["tree"]
    assert await until_event(stream, "rows") == {"tree": tree, "rows": [[1, 1, 0, 0, 0, 1, 0, 0]]}
    state = await until_event(stream, "state")
    assert (state["healthy"], state["workers"], state["store"], state["tree"]) == (False, [], "redis", tree)
    assert state["divided"] is False  # no quota service here
    await admin.get("http", "/json", ASK)
    assert (await until_event(stream, "rows"))["rows"] == [[1, 2, 0, 1, 0, 2, 0, 0]]
    admin.service.swap(load_config([ConfigFile("f", CONFIG)]))
    assert (await until_event(stream, "rows"))["tree"] > tree
    later = events(admin)
    assert (await until_event(later, "rows"))["rows"] == [[1, 2, 0, 1, 0, 2, 0, 0]]
    await stream.aclose()
    await later.aclose()


async def test_keys_are_watched_while_a_page_is_open(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer: then a tick feeds nobody. Before a configuration there is a state, too."""
    monkeypatch.setattr(event_stream, "TICK_S", 0.01)
    monkeypatch.setattr(live_page, "KEYS_EVERY_S", 0.01)
    stream = events(admin)
    await until_event(stream, "state")
    assert admin.service.watch is not None
    for _ in range(3):
        await admin.get("http", "/json", ASK)
    while not (keys := await until_event(stream, "keys"))["over"]:
        pass
    assert keys["busiest"][0][1] == {"domain": "d", "entries": [["k", "v"]], "more": 0}
    admin.service._snapshot = None
    await until_event(stream, "state")
    await stream.aclose()
    async with asyncio.timeout(30):
        while admin.service.watch is not None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
