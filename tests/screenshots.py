"""`make screenshots`: the page as docs/screenshots shows it: on a desktop, in the dark, on a phone.

Two workers on an embedded Valkey, under a load of a few hundred calls a second for a little more than a minute.
"""

import asyncio
import io
import math
import random
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc.aio
from PIL import Image
from playwright.async_api import Page

from deploy.demo.processes import LOOPBACK, ROOT, config_map, run_to_the_end, start_service, start_valkey
from ratelimit.service.messages import SHOULD_RATE_LIMIT_PATH
from tests.browser import started
from tests.service.messages_of import descriptor, request

FOLDER = ROOT / "docs" / "screenshots"
LOADED_S = 65
COLOURS = 256
CONNECTIONS, OWN_CONNECTION = 6, (("grpc.use_local_subchannel_pool", 1),)
SIZES = {"desktop": (1280, 860, False), "dark": (1280, 860, True), "phone": (390, 844, False)}
CONFIG = """
domain: shop
on_store_error: allow
descriptors:
  - key: plan
    value: free
    rate_limit: {unit: second, requests_per_unit: 20, name: free plan}
    descriptors:
      - key: user
        detailed_metric: true
        rate_limit: {unit: minute, requests_per_unit: 60, algorithm: sliding_window}
  - key: plan
    value: gold
    rate_limit: {unit: second, requests_per_unit: 200}
    descriptors:
      - {key: user, rate_limit: {unit: minute, requests_per_unit: 600}}
      - {key: user, value: batch*, shadow_mode: true, rate_limit: {unit: hour, requests_per_unit: 900}}
  - {key: path, value: /v1/search, rate_limit: {unit: second, requests_per_unit: 40, algorithm: gcra}}
  - {key: path, value: /v1/orders, rate_limit: {unit: second, requests_per_unit: 80}}
  - {key: path, value: /v1/login, rate_limit: {unit: minute, requests_per_unit: 300}}
  - {key: path, value: /v1/health, rate_limit: {unlimited: true}}
  - {key: remote_address, rate_limit: {unit: minute, requests_per_unit: 500}}
"""
MORE = """
domain: partners
all_or_nothing: true
descriptors:
  - {key: partner, value: acme, rate_limit: {unit: minute, unit_multiplier: 5, requests_per_unit: 3000}}
  - {key: partner, rate_limit: {unit: minute, requests_per_unit: 100}}
"""


def asked(domain: str, *entries: tuple[str, str]) -> bytes:
    """A request with one descriptor of these entries."""
    return request(descriptor(*entries), domain=domain)


def some_request(chance: random.Random) -> bytes:
    """One of the kinds that a shop has, some users more often than others."""
    user = f"u-{int(chance.paretovariate(0.9)) % 5000:04}"
    address = f"198.51.100.{int(chance.paretovariate(0.8)) % 250}"
    kinds = [
        (28, asked("shop", ("plan", "free"), ("user", user))),
        (12, asked("shop", ("plan", "gold"), ("user", user))),
        (6, asked("shop", ("plan", "free"))),
        (22, asked("shop", ("path", "/v1/search"))),
        (14, asked("shop", ("path", "/v1/orders"))),
        (4, asked("shop", ("path", "/v1/login"))),
        (10, asked("shop", ("remote_address", address))),
        (5, asked("partners", ("partner", chance.choice(["acme", "umbrella", "initech"])))),
        (0.2, asked("staging", ("path", "/"))),
    ]
    weights, requests = zip(*kinds, strict=True)
    return chance.choices(requests, weights)[0]


async def load(port: int) -> None:
    """Call until cancelled: some 400 a second, in waves, on connections to both workers."""
    chance = random.Random(7)
    async with AsyncExitStack() as stack:
        asks: list[Any] = []
        for _ in range(CONNECTIONS):
            channel = grpc.aio.insecure_channel(f"{LOOPBACK}:{port}", OWN_CONNECTION)
            asks.append((await stack.enter_async_context(channel)).unary_unary(SHOULD_RATE_LIMIT_PATH))
        for turn in range(1_000_000):
            calls = int(20 + 9 * math.sin(turn / 60) + chance.random() * 6)
            answers = (chance.choice(asks)(some_request(chance)) for _ in range(calls))
            await asyncio.gather(*answers, return_exceptions=True)  # the first come before the configuration
            await asyncio.sleep(0.05)


async def shoot(page: Page, name: str) -> None:
    """One picture, with a limit chosen."""
    await page.locator("#rows .row", has_text="/v1/search").click()
    if name == "dark":
        await page.select_option("#order", "over")
        await page.click("#show-over")
    await page.wait_for_timeout(2500)  # the next numbers, and the next order
    await page.mouse.move(0, 0)
    taken = await page.screenshot(full_page=name == "phone")
    with Image.open(io.BytesIO(taken)) as picture:
        picture.convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(FOLDER / f"{name}.png", optimize=True)


async def main() -> int:
    """Start everything, wait, take the pictures."""
    FOLDER.mkdir(exist_ok=True)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        root = config_map(folder / "runtime", CONFIG.replace("on_store_error", "oops"))
        valkey, store = await start_valkey(folder)
        stack.push_async_callback(valkey.stop)
        given = {"REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"{LOOPBACK}:{store}", "WORKERS": "2", "REDIS_TIMEOUT": "1s"}
        watched = {"RUNTIME_ROOT": str(root), "RUNTIME_WATCH_ROOT": "false", "RUNTIME_IGNOREDOTFILES": "true"}
        service = await start_service("service", folder, {**given, **watched, "LOCAL_CACHE_SIZE_IN_BYTES": "1000000"})
        stack.push_async_callback(service.program.stop)
        config_map(root, CONFIG, "2")
        (root / "config" / "..data" / "partners.yaml").write_text(MORE)
        (root / "config" / "partners.yaml").symlink_to("..data/partners.yaml")
        loading = asyncio.ensure_future(load(service.grpc_port))
        stack.callback(loading.cancel)
        browser = await stack.enter_async_context(started(folder / "profile"))
        pages: dict[str, Page] = {}
        for name, (width, height, dark) in SIZES.items():
            page = pages[name] = await browser.new_page()
            await page.set_viewport_size({"width": width, "height": height})
            await page.emulate_media(color_scheme="dark" if dark else "light")
            await page.goto(f"http://{LOOPBACK}:{service.debug_port}/")
        await asyncio.sleep(LOADED_S)
        for name, page in pages.items():
            await page.bring_to_front()
            await shoot(page, name)
    return 0


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "screenshots"))
