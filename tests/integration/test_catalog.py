import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from deploy.demo.processes import ROOT, config_map
from tests.integration.scene import Scene, room_in_the_minute

pytestmark = pytest.mark.integration


@pytest_asyncio.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Not started yet; ended after the test."""
    scene = Scene(tmp_path)
    yield scene
    await scene.stop()


async def load(scene: Scene, loyalty: str, ended: asyncio.Event) -> Counter[int]:
    """Requests from four clients until `ended`; their statuses."""
    statuses: Counter[int] = Counter()

    async def client(session: aiohttp.ClientSession) -> None:
        while not ended.is_set():
            statuses[await scene.get(session, loyalty)] += 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(4)))
    return statuses


async def shown(port: int, path: str, text: str) -> None:
    """Wait until a page of the debug port holds `text`."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                if text in await response.text():
                    return
            await asyncio.sleep(0.02)


async def eventually(scene: Scene, loyalty: str, expected: Callable[[int], bool], within_s: float) -> None:
    """Ask until the status is as expected."""
    async with asyncio.timeout(within_s), aiohttp.ClientSession() as session:
        while not expected(await scene.get(session, loyalty)):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.02)


async def test_two_envoys_and_two_instances_keep_one_limit(scene: Scene) -> None:
    """Gold admits exactly 10 a minute, and every other tier its own; an unknown tier shares none's."""
    await scene.start(envoys=2)
    await room_in_the_minute()
    assert await scene.statuses("gold", 40) == {200: 10, 429: 30}
    assert await scene.statuses("silver", 20) == {200: 5, 429: 15}
    assert await scene.statuses("bronze", 20) == {200: 3, 429: 17}
    for loyalty in ("platinum", "GOLD", ""):
        assert (await scene.statuses(loyalty, 1))[200] == (loyalty == "platinum")


async def test_a_config_map_swap_changes_the_limit_without_a_failed_request(scene: Scene) -> None:
    """Within 2 s; then a broken file keeps the old limits, counts, and is logged with its place."""
    await scene.start()
    await room_in_the_minute(30)
    ended = asyncio.Event()
    loading = asyncio.ensure_future(load(scene, "gold", ended))
    catalog = (ROOT / "config" / "catalog.yaml").read_text()
    config_map(scene.runtime, catalog.replace("requests_per_unit: 10", "requests_per_unit: 1000000"), "2")
    for instance in scene.instances:
        await shown(instance.debug_port, "/rlconfig", "requests_per_unit=1000000")
    config_map(scene.runtime, catalog.replace("unit: minute", "unit: fortnight"), "3")
    await shown(scene.instances[0].debug_port, "/stats", "ratelimit.service.config_load_error: 1\n")
    ended.set()
    assert set(await loading) <= {200, 429}
    assert "config.yaml:7: descriptors[0].rate_limit.unit" in scene.instances[0].program.log.read_text()
    await shown(scene.instances[0].debug_port, "/rlconfig", "requests_per_unit=1000000")


async def test_a_stopped_instance_fails_no_request(scene: Scene) -> None:
    """SIGTERM to one of two under load, with failure_mode_deny: no 5xx, exit code 0."""
    await scene.start()
    ended = asyncio.Event()
    loading = asyncio.ensure_future(load(scene, "gold", ended))
    await asyncio.sleep(0.5)  # some load before the signal
    assert await scene.instances[0].program.stop() == 0
    await asyncio.sleep(0.5)  # and some after
    ended.set()
    assert set(await loading) <= {200, 429}


async def test_a_killed_store_fails_fast_and_comes_back(scene: Scene) -> None:
    """Fail-closed errors while it is away, service by itself after, and the limit holds again."""
    await scene.start(instances=1)
    await scene.store.stop(signal.SIGKILL)
    await eventually(scene, "gold", lambda status: status == 500, 30)
    await scene.start_store(scene.store_port)
    await eventually(scene, "silver", lambda status: status in {200, 429}, 30)
    await room_in_the_minute()
    assert await scene.statuses("gold", 30) == {200: 10, 429: 20}


async def test_each_instance_logs_its_life(scene: Scene) -> None:
    """Serving, draining and stopped stand in the log, and the process is ready at once."""
    await scene.start(instances=1, DRAIN_DELAY="0")
    assert await scene.instances[0].program.stop() == 0
    text = scene.instances[0].program.log.read_text()
    assert all(word in text for word in ("configuration loaded", "serving", "draining", "stopped"))
