"""Fixtures for all tests, and the rule that CI skips nothing."""

import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio

from deploy.demo.processes import start_valkey


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the pure tests first: they are fast, and tell most."""
    items.sort(key=lambda item: any(part in item.nodeid for part in ("integration", "deploy")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failure: everything it needs is installed there."""
    report = yield
    if report.skipped and os.environ.get("RATELIMIT_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped where no skip is allowed: {item.nodeid}"
    return report


@pytest_asyncio.fixture
async def valkey_port(tmp_path: Path) -> AsyncIterator[int]:
    """A real Valkey, fresh for one test."""
    program, port = await start_valkey(tmp_path)
    yield port
    await program.stop()
