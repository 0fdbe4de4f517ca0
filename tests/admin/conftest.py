"""Fixtures for the HTTP listeners."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio

from tests.admin.running import Admin, settings


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
