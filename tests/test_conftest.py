import asyncio

import pytest
import uvloop

from tests.conftest import LOOPS, pytest_asyncio_loop_factories


async def test_a_test_runs_on_the_loop_that_its_name_says(request: pytest.FixtureRequest) -> None:
    """`[asyncio]` and `[uvloop]` stand in the name and are what runs."""
    running = isinstance(asyncio.get_running_loop(), uvloop.Loop)
    assert request.node.name == f"{request.node.originalname}[{'uvloop' if running else 'asyncio'}]"


def test_every_async_test_gets_both_loops_unless_it_drives_processes(request: pytest.FixtureRequest) -> None:
    """Integration tests run on production's loop only: they would double the time and tell nothing new."""
    assert list(pytest_asyncio_loop_factories(request.config, request.node)) == list(LOOPS) == ["asyncio", "uvloop"]
    request.node.add_marker("integration")
    assert list(pytest_asyncio_loop_factories(request.config, request.node)) == ["uvloop"]
