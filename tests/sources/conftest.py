"""Everything here touches a loop, so it runs on both: asyncio's own, and uvloop, which serves."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What pytest-asyncio makes the loops of these tests with."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
