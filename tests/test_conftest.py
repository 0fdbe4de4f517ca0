import asyncio

import pytest
import uvloop

from tests.conftest import LOOPS, _may_be_skipped, pytest_asyncio_loop_factories


async def test_a_test_runs_on_the_loop_that_its_name_says(request: pytest.FixtureRequest) -> None:
    """`[asyncio]` and `[uvloop]` stand in the name and are what runs."""
    running = isinstance(asyncio.get_running_loop(), uvloop.Loop)
    assert request.node.name == f"{request.node.originalname}[{'uvloop' if running else 'asyncio'}]"


def test_every_async_test_gets_both_loops_unless_it_drives_processes(request: pytest.FixtureRequest) -> None:
    """Integration tests run on production's loop only: they would double the time and tell nothing new."""
    assert list(pytest_asyncio_loop_factories(request.config, request.node)) == list(LOOPS) == ["asyncio", "uvloop"]
    request.node.add_marker("integration")
    assert list(pytest_asyncio_loop_factories(request.config, request.node)) == ["uvloop"]


@pytest.mark.parametrize(
    ("marks", "missing", "may"),
    [((), "1", False), (("tools",), "1", True), (("tools",), "", False), (("reference",), "", True)],
    ids=["plain", "tools that cannot be built", "tools", "reference"],
)
def test_what_wants_go_is_skipped_only_without_it(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, marks: tuple[str, ...], missing: str, may: bool
) -> None:
    """In CI everything else must run, and this too unless .ci/run could not build its programs."""
    monkeypatch.setenv("RATELIMIT_NO_TOOLS", missing)
    for mark in marks:
        request.node.add_marker(mark)
    assert _may_be_skipped(request.node) is may
