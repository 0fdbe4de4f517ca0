"""A real browser: Debian's Chromium, driven by Playwright, without a window and without a network but loopback."""

import resource
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, async_playwright

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def chromium() -> str:
    """The program, or the test is skipped."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        pytest.skip("Chromium reserves more address space than a `ulimit -v` lets it")
    return found


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[BrowserContext]:
    """A browser with a fresh profile in `folder`; its pages are closed with it."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            str(folder), executable_path=chromium(), args=list(FLAGS), chromium_sandbox=False
        )
        try:
            yield context
        finally:
            await context.close()
