import contextlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from deploy.demo.processes import LOOPBACK, Instance, start_service
from loadtest.quota_wire import PATH
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2
from tests.browser import started
from tests.service.rlqs.streams import report

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]
LIMITS = 10_000
# Markup, script, an end of a line and of JSON, a text that turns what follows, a name of an object's own.
HOSTILE = "<img src=x onerror=window.hacked=1></script>\"'\u202e&amp;\\u0000 __proto__"
WAIT_MS = 60_000
NAME = "x-envoy-name"


def config() -> tuple[str, str]:
    """A domain with 10,000 limits, a small one, and one whose every text is hostile."""
    many = "".join(
        f"  - {{key: path, value: /item-{n}, rate_limit: {{unit: hour, requests_per_unit: 9}}}}\n"
        for n in range(LIMITS)
    )
    bad = json.dumps(HOSTILE)
    limit = "rate_limit: {unit: hour, requests_per_unit: 2"
    hostile = f"domain: {bad}\ndescriptors:\n  - {{key: {bad}, value: {bad}, {limit}, name: {bad}}}}}\n"
    shop = f"domain: shop\ndescriptors:\n  - {{key: user, {limit}}}, descriptors: [{{key: plan, {limit}}}}}]}}\n{many}"
    return hostile, shop


class Shown:
    """A service, and a browser that looks at it; `said` is what its console said, `fetched` every address."""

    def __init__(
        self, instance: Instance, folder: Path, browser: BrowserContext, session: aiohttp.ClientSession
    ) -> None:
        self.instance = instance
        self.folder = folder
        self.browser = browser
        self.said: list[str] = []
        self.fetched: list[str] = []
        self.origin = f"http://{LOOPBACK}:{instance.debug_port}/"
        self._session = session

    async def open(self, *, width: int = 1280, dark: bool = False, path: str = "") -> Page:
        """The page, with the limits of `config`, whatever a test before has made of them."""
        write(self.folder, *config())
        page = await self.browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.fetched.append(request.url))
        await page.set_viewport_size({"width": width, "height": 844})
        await page.emulate_media(color_scheme="dark" if dark else "light")
        await page.goto(self.origin + path)
        if not path:
            await text_of(page, "10,003 in 2 domains", "#count")
        return page

    async def hit(self, domain: str, *entries: tuple[str, str], times: int = 1) -> None:
        """Requests over /json."""
        descriptor = {"entries": [{"key": key, "value": value} for key, value in entries]}
        for _ in range(times):
            address = f"http://{LOOPBACK}:{self.instance.http_port}/json"
            async with self._session.post(address, json={"domain": domain, "descriptors": [descriptor]}) as answer:
                await answer.read()


def write(folder: Path, *texts: str) -> None:
    """The files of a configuration; one that is so already is not touched."""
    for number, text in enumerate(texts):
        file = folder / "config" / f"{number}.yaml"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shown]:
    """One service and one browser for all tests here."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "config").mkdir()
    write(folder, *config())
    async with AsyncExitStack() as stack:
        browser = await stack.enter_async_context(started(folder / "profile"))
        given = {"RUNTIME_ROOT": str(folder), "BACKEND_TYPE": "memory", "DRAIN_DELAY": "0", "RLQS_ENVOY_METADATA": NAME}
        instance = await start_service("service", folder, given)
        stack.push_async_callback(instance.program.stop)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Shown(instance, folder, browser, session)


async def text_of(page: Page, wanted: str, selector: str) -> str:
    """The text of an element, as soon as it has `wanted` in it."""
    await expect(page.locator(selector).first).to_contain_text(wanted, timeout=WAIT_MS)
    return str(await page.locator(selector).first.text_content())


async def test_what_happens_is_shown_as_it_happens(shown: Shown) -> None:
    """Hits of a limit reach its row and the keys; of 10,000 limits only those in view are elements.

    Nothing comes from elsewhere, and the console stays empty.
    """
    page = await shown.open()
    assert await page.locator("#rows .row").count() < 100
    await page.fill("#search", "item-77")
    assert "111 found of" in await text_of(page, "found", "#count")
    await page.fill("#search", "shop /ITEM-7777")
    await page.locator("#rows .row", has_text="/item-7777").click()
    await shown.hit("shop", ("path", "/item-7777"), times=12)
    await text_of(page, "since start12within9near2over3", "#detail-counts")
    await text_of(page, "path=/item-7777", "#keys")
    await page.click("#show-over")
    await text_of(page, "path=/item-7777", "#keys")
    over = page.locator("#detail-chart path.over")
    for _ in range(WAIT_MS // 1000):
        # What came before the first numbers is no rate, nor what came before a load: the last test's may come now.
        await shown.hit("shop", ("path", "/item-7777"))
        with contextlib.suppress(AssertionError):
            await expect(over).to_have_attribute("d", re.compile("^M"), timeout=1000)
            break
    assert await over.get_attribute("d")
    await page.click("#detail-explain")
    await page.click("#explain button")
    await text_of(page, "at least 9 of 9 used", "#answer")
    assert "memory" in await text_of(page, "store", "#state")
    await page.close()
    assert [url for url in shown.fetched if not url.startswith(shown.origin)] == []
    assert shown.said == []


async def test_everything_is_within_reach_of_the_keyboard(shown: Shown) -> None:
    """/ searches, arrows walk and open the tree, e explains, Escape goes back."""
    page = await shown.open()
    await page.keyboard.press("/")
    await page.keyboard.type("plan")
    assert "1 found of" in await text_of(page, "found", "#count")
    await page.keyboard.press("ArrowDown")
    for key in ("ArrowDown", "ArrowLeft", "ArrowRight", "ArrowRight", "End", "Home", "PageDown", "ArrowUp"):
        await page.keyboard.press(key)
    chosen = page.locator("#rows .row[aria-selected=true]")
    assert await chosen.text_content() == "user2 / hour000"
    assert await page.get_attribute("#tree", "aria-activedescendant") == await chosen.get_attribute("id")
    await page.keyboard.press("e")
    assert await page.input_value("#explain-entries") == "user="
    await page.keyboard.press("Shift+Tab")
    await page.focus("#search")
    await page.keyboard.press("Escape")
    assert "found" not in str(await page.text_content("#count"))
    assert await page.evaluate("document.activeElement.id") == "tree"
    await page.keyboard.press("End")
    assert "/item-9999" in str(await page.locator("#rows .row[aria-selected=true]").text_content())
    await page.close()
    assert shown.said == []


async def test_no_text_of_anybody_is_markup(shown: Shown) -> None:
    """Hostile domains, keys, values, names, errors, files and questions are shown letter by letter, and do nothing."""
    page = await shown.open()
    letters = HOSTILE.replace("\u202e", "\\u{202e}")
    await shown.hit(HOSTILE, (HOSTILE, HOSTILE), times=5)
    await shown.hit(f"{HOSTILE}2", (HOSTILE, HOSTILE))
    await shown.hit("shop", ("user", HOSTILE), times=5)
    assert letters in await text_of(page, letters, "#rows")
    await page.locator("#rows .row", has_text="img").nth(1).click()
    assert f"name: {letters}" in await text_of(page, letters, "#detail-about")
    for place in ("#keys", "#unknown"):
        await text_of(page, "<img src=x onerror=window.hacked=1>", place)
    await page.fill("#explain-domain", HOSTILE)
    await page.fill("#explain-entries", f"{HOSTILE}={HOSTILE}")
    await page.click("#explain button")
    await text_of(page, "<img src=x", "#answer")
    hostile_file = shown.folder / "config" / "9<img src=x onerror=window.hacked=1>.yaml"
    hostile_file.write_text(f"domain: d\n{json.dumps(HOSTILE)}: x")
    assert "yaml:2" in await text_of(page, "<img src=x", "#loads .bad")
    hostile_file.unlink()
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("img, iframe, body script, body style, body link").count() == 0
    await page.close()
    page = await shown.open(path="explain?domain=%3Cimg+src=x+onerror=window.hacked=1%3E&entries=%3Cscript%3E=1")
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("img, script").count() == 0
    await page.close()
    assert shown.said == []


async def reported(stack: AsyncExitStack, port: int, envoy: str, domain: str, *buckets: tuple[str, str]) -> None:
    """An Envoy that reports these buckets, and stays; it was told of each."""
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"{LOOPBACK}:{port}"))
    method: Any = channel.stream_stream(PATH)
    stream = method(metadata=((NAME, envoy),))
    await stream.write(report(*((key, value, 1, 0) for key, value in buckets), domain=domain))
    told = 0
    while told < len(buckets):
        told += len(rlqs_pb2.RateLimitQuotaResponse.FromString(await stream.read()).bucket_action)


async def test_who_has_what_share_is_shown(shown: Shown) -> None:
    """Hidden while nothing is divided; a bucket opens to its Envoys, is searched for, and no name of it is markup."""
    hostile, letters = HOSTILE.replace("\u202e", ""), HOSTILE.replace("\u202e", "\\u{202e}")
    page = await shown.open()
    await expect(page.locator("#divided-section")).to_be_hidden()
    await page.close()
    async with AsyncExitStack() as stack:
        port = shown.instance.grpc_port
        await reported(stack, port, hostile, HOSTILE, (HOSTILE, HOSTILE))
        await reported(stack, port, "gateway-1", "shop", ("path", "/item-1"), ("path", "/item-2"))
        await reported(stack, port, "gateway-2", "shop", ("path", "/item-1"))
        page = await shown.open()
        first = page.locator("#divided summary").first
        assert f"{letters}={letters}" in await text_of(page, letters, "#divided summary")
        await first.press("Enter")
        await text_of(page, hostile, "#divided .envoys")
        await page.fill("#search", "shop item-1")
        await expect(page.locator("#divided summary")).to_have_count(1, timeout=WAIT_MS)
        await text_of(page, "2 Envoys", "#divided summary")
        await first.press("Enter")
        await expect(page.locator("#divided .envoy:not(.quiet)")).to_have_count(2, timeout=WAIT_MS)
        assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
        await page.fill("#search", "nowhere")
        await text_of(page, "No divided limit has these words.", "#divided-note")
        assert await page.evaluate("window.hacked") is None
        assert await page.locator("img, iframe, body script").count() == 0
        await page.close()
    assert shown.said == []


async def test_another_configuration_takes_the_place_of_the_tree(shown: Shown) -> None:
    """As soon as it is in force; what was chosen stays chosen, and one with an error is told with its place."""
    page = await shown.open()
    await page.fill("#search", "plan")
    await page.locator("#rows .row", has_text="plan").click()
    write(shown.folder, config()[0], "domain: shop\ndescriptors: [{key: user, descriptors: [{key: plan}]}]")
    assert "1 found of 1 in 2 domains" in await text_of(page, "of 1 in", "#count")
    assert await page.text_content("#detail-name") == "shop.user.plan"
    write(shown.folder, config()[0], "domain: shop\ndescriptors: [{key: user, oops: 1}]")
    assert "1.yaml:2: descriptors[0].oops" in await text_of(page, "oops", "#loads .bad")
    assert "1 found of 1 in" in str(await page.text_content("#count"))
    await page.close()
    assert shown.said == []


async def test_it_fits_a_phone_and_the_night(shown: Shown) -> None:
    """Nothing is wider than the window, and dark is dark."""
    colours = set[str]()
    for width, dark in ((390, False), (700, True)):
        page = await shown.open(width=width, dark=dark)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        colours.add(await page.evaluate("getComputedStyle(document.body).backgroundColor"))
        await page.close()
    assert colours == {"rgb(246, 247, 248)", "rgb(18, 22, 27)"}
    assert shown.said == []


async def test_a_page_that_is_open_does_not_hold_the_end(shown: Shown, tmp_path: Path) -> None:
    """Its stream ends with the drain, the service as ever, and the page says so."""
    (tmp_path / "config").mkdir()
    given = {"RUNTIME_ROOT": str(tmp_path), "BACKEND_TYPE": "memory", "DRAIN_DELAY": "0"}
    instance = await start_service("ends", tmp_path, given)
    page = await shown.browser.new_page()
    try:
        await page.goto(f"http://{LOOPBACK}:{instance.debug_port}/")
        await text_of(page, "serving", "#health")
        assert await text_of(page, "Nothing is configured.", "#empty")
    finally:
        code = await instance.program.stop()
    assert code == 0
    await text_of(page, "no connection", "#health")
    await page.close()
