"""Fixtures for all tests, and the rule that CI skips nothing."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop
from hypothesis import settings

from deploy.demo.cluster import ValkeyCluster
from deploy.demo.processes import start_valkey

# Production runs on uvloop; asyncio's own loop differs in small things, and a fault may show on one of them only.
LOOPS: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}

# How long each fuzzer of tests/wire runs, in seconds; CI gives them a minute each.
FUZZ_S = float(os.environ.get("RATELIMIT_FUZZ_S", "2"))

# How long an example takes tells how busy the machine is.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], object]]:
    """Every async test runs on both loops; those that only drive other processes, and variants, on production's."""
    heavy = drives_processes(item) or item.get_closest_marker("one_loop") is not None
    return {name: loop for name, loop in LOOPS.items() if name == "uvloop" or not heavy}


def drives_processes(item: pytest.Item) -> bool:
    """Whether a test starts whole processes, Envoy among them, and only looks at them from outside."""
    return item.get_closest_marker("integration") is not None or item.nodeid.startswith("tests/deploy/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the pure tests first: they are fast, and tell most. `-m integration` is the rest, whole."""
    items.sort(key=drives_processes)
    for item in items:
        if drives_processes(item):
            item.add_marker("integration")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a skipped test is a failure: everything it needs is installed there, but for other people's source."""
    report = yield
    if report.skipped and os.environ.get("RATELIMIT_NO_SKIP") and not _may_be_skipped(item):
        report.outcome = "failed"
        report.longrepr = f"skipped where no skip is allowed: {item.nodeid}"
    return report


def _may_be_skipped(item: pytest.Item) -> bool:
    no_tools = bool(os.environ.get("RATELIMIT_NO_TOOLS")) and item.get_closest_marker("tools") is not None
    return no_tools or item.get_closest_marker("reference") is not None


@pytest_asyncio.fixture
async def valkey_port(tmp_path: Path) -> AsyncIterator[int]:
    """A real Valkey, fresh for one test."""
    program, port = await start_valkey(tmp_path)
    yield port
    await program.stop()


@pytest.fixture(scope="session")
def _formed_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyCluster]:
    with ValkeyCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def valkey_cluster(_formed_cluster: ValkeyCluster) -> ValkeyCluster:
    """A real Cluster of three masters, empty, the same for all tests: leave its nodes and slots as they are."""
    for node in _formed_cluster.masters:
        node.ask("FLUSHALL")
    return _formed_cluster
