import asyncio
import signal
from pathlib import Path

import pytest

from deploy.demo.processes import config_map, free_port
from ratelimit.app import App
from ratelimit.errors import StoreError
from ratelimit.settings import load_settings

CONFIG = "domain: d\ndescriptors: [{key: k, rate_limit: {unit: minute, requests_per_unit: 2}}]"


def app(folder: Path, **environ: str) -> App:
    """An app on free loopback ports, counting in memory."""
    root = config_map(folder, CONFIG)
    hosts = dict.fromkeys(("HOST", "DEBUG_HOST", "GRPC_HOST"), "127.0.0.1")
    ports = dict.fromkeys(("PORT", "DEBUG_PORT", "GRPC_PORT"), "0")
    given = {"RUNTIME_ROOT": str(root), "RUNTIME_IGNOREDOTFILES": "true", "BACKEND_TYPE": "memory", "DRAIN_DELAY": "0"}
    return App(load_settings({**hosts, **ports, **given, "USE_PROMETHEUS": "false", **environ}))


async def until_serving(app: App) -> None:
    """Wait until calls are welcome."""
    ready = asyncio.Event()
    app.health.on_change(lambda: ready.set() if app.health.healthy else None)
    await asyncio.wait_for(ready.wait(), 30)


async def test_a_signal_drains_and_ends(tmp_path: Path) -> None:
    """SIGTERM: not serving, then a clean end."""
    made = app(tmp_path, LOCAL_CACHE_SIZE_IN_BYTES="1000", COUNTER_KEY_FORMAT="reference")
    running = asyncio.ensure_future(made.run())
    await until_serving(made)
    assert made.service.config is not None
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(running, 30)
    assert not made.health.healthy


async def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """Whoever is in a hurry says it twice."""
    made = app(tmp_path, DRAIN_DELAY="1h", USE_STATSD="true", STATSD_PORT="1")
    running = asyncio.ensure_future(made.run())
    await until_serving(made)
    draining = asyncio.Event()
    made.health.on_change(lambda: None if made.health.healthy else draining.set())
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(draining.wait(), 30)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(running, 30)


async def test_a_store_that_never_comes_ends_the_start_when_told_to(tmp_path: Path) -> None:
    """REDIS_STARTUP_MAX_ELAPSED_TIME."""
    made = app(
        tmp_path,
        BACKEND_TYPE="redis",
        REDIS_SOCKET_TYPE="tcp",
        REDIS_URL=f"127.0.0.1:{free_port()}",
        REDIS_STARTUP_INITIAL_INTERVAL="10ms",
        REDIS_STARTUP_MAX_ELAPSED_TIME="20ms",
    )
    with pytest.raises(StoreError, match="cannot connect"):
        await asyncio.wait_for(made.run(), 30)


async def test_a_bad_first_configuration_does_not_end_the_process(tmp_path: Path) -> None:
    """It is counted, and every call fails until a good one comes."""
    made = app(tmp_path)
    (tmp_path / "config" / "extra.yaml").write_text("nonsense: 1")
    running = asyncio.ensure_future(made.run())
    await until_serving(made)
    assert made.metrics.config_load_error == 1
    assert made.service.config is None
    signal.raise_signal(signal.SIGINT)
    await asyncio.wait_for(running, 30)
