"""Fixtures for the HTTP listeners, which run on both event loops."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import pytest_asyncio
import uvloop

from tests.admin.running import Admin, settings


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Production runs on uvloop, a debugger on asyncio: what touches a loop is tested on both."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture
async def started() -> AsyncIterator[Callable[..., Awaitable[Admin]]]:
    """Starts listeners with the settings given; all are closed at the end."""
    running: list[Admin] = []

    async def start(server: dict[str, object] | None = None, **metrics: object) -> Admin:
        admin = Admin(settings(server, **metrics))
        running.append(admin)
        await admin.server.start()
        return admin

    yield start
    for admin in running:
        await admin.server.close()


@pytest_asyncio.fixture
async def admin(started: Callable[..., Awaitable[Admin]]) -> Admin:
    """Listeners as they are by default."""
    return await started()
