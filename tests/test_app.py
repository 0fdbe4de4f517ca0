import asyncio
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deploy.demo.processes import config_map, free_port
from ratelimit.app import App, make_app
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.dogstatsd import DogStatsdSink
from ratelimit.errors import ConfigError, StoreError
from ratelimit.settings import load_settings
from ratelimit.sources import directory
from ratelimit.sources.directory import DirectorySource
from ratelimit.statsd import StatsdSink
from ratelimit.stores.redis import node as redis_node
from ratelimit.worker import Worker
from ratelimit.workers.supervisor import Supervisor

CONFIG = "domain: d\ndescriptors: [{key: k, rate_limit: {unit: minute, requests_per_unit: 2}}]"
GOOD = [ConfigFile("f", CONFIG.encode())]


def app(folder: Path, **environ: str) -> App[Worker]:
    """An app on free loopback ports, counting in memory."""
    root = config_map(folder, CONFIG)
    hosts = dict.fromkeys(("HOST", "DEBUG_HOST", "GRPC_HOST"), "127.0.0.1")
    ports = dict.fromkeys(("PORT", "DEBUG_PORT", "GRPC_PORT"), "0")
    given = {"RUNTIME_ROOT": str(root), "RUNTIME_IGNOREDOTFILES": "true", "BACKEND_TYPE": "memory", "DRAIN_DELAY": "0"}
    return make_app(load_settings({**hosts, **ports, **given, "USE_PROMETHEUS": "false", **environ}))


async def until_serving(app: App[Worker]) -> None:
    """Wait until calls are welcome."""
    await asyncio.wait_for(app.serving.wait(), 30)
    assert app.worker.health.healthy


async def test_a_signal_drains_and_ends(tmp_path: Path) -> None:
    """SIGTERM: not serving, then a clean end."""
    made = app(tmp_path, LOCAL_CACHE_SIZE_IN_BYTES="1000", COUNTER_KEY_FORMAT="reference")
    running = asyncio.ensure_future(made.run())
    await until_serving(made)
    assert made.worker.service.config is not None
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(running, 30)
    assert not made.worker.health.healthy


async def test_several_workers_have_a_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WORKERS=2, or auto on two cores; on one core auto is one process that does everything."""
    for workers, cores, kind in (("2", 1, Supervisor), ("auto", 2, Supervisor), ("auto", 1, Worker)):
        monkeypatch.setattr("ratelimit.app.usable_cores", lambda cores=cores: cores)
        made = app(tmp_path / f"{workers}-{cores}", BACKEND_TYPE="redis", WORKERS=workers)
        assert type(made.worker) is kind
        await made._close()


async def test_a_signal_ends_a_start_that_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first load hangs, on a file system that is away: SIGTERM ends it, and the process."""
    begun = asyncio.Event()

    async def hang(_: object) -> None:
        begun.set()
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(directory, "read", hang)
    running = asyncio.ensure_future(app(tmp_path).run())
    await asyncio.wait_for(begun.wait(), 30)
    with capture_logs() as logs:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(running, 30)
    assert [line["event"] for line in logs] == ["stopped"]


async def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """Whoever is in a hurry says it twice."""
    made = app(tmp_path, DRAIN_DELAY="1h", USE_STATSD="true", STATSD_PORT="1")
    running = asyncio.ensure_future(made.run())
    await until_serving(made)
    draining = asyncio.Event()
    made.worker.health.on_change(lambda: None if made.worker.health.healthy else draining.set())
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


async def test_an_interval_of_zero_does_not_spin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REDIS_STARTUP_INITIAL_INTERVAL=0 is taken as by Go; a store that is away costs no core all the same."""
    tries = Counter[str]()

    async def refuse(*_: object) -> None:
        tries["connect"] += 1
        raise OSError("away")

    monkeypatch.setattr(redis_node, "open_transport", refuse)
    none = {"REDIS_STARTUP_INITIAL_INTERVAL": "0", "REDIS_STARTUP_MAX_INTERVAL": "0"}
    made = app(tmp_path, BACKEND_TYPE="redis", REDIS_STARTUP_MAX_ELAPSED_TIME="300ms", **none)
    with pytest.raises(StoreError, match="away"):
        await asyncio.wait_for(made.run(), 30)
    assert 2 <= tries["connect"] <= 20


async def test_a_bad_first_configuration_does_not_end_the_process(tmp_path: Path) -> None:
    """It is counted, and every call fails until a good one comes."""
    made = app(tmp_path)
    (tmp_path / "config" / "extra.yaml").write_text("nonsense: 1")
    running = asyncio.ensure_future(made.run())
    await until_serving(made)
    assert made.metrics.config_load_error == 1
    assert made.worker.service.config is None
    signal.raise_signal(signal.SIGINT)
    await asyncio.wait_for(running, 30)


async def test_a_part_that_fails_to_close_keeps_no_other_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source's watch ended with an exception: it is logged, and the ports are free all the same."""

    async def fail(_: DirectorySource) -> None:
        raise RuntimeError("the watch is gone")

    monkeypatch.setattr(DirectorySource, "close", fail)
    made = app(tmp_path)
    running = asyncio.ensure_future(made.run())
    await until_serving(made)
    with capture_logs() as logs:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(running, 30)
    assert [line["part"] for line in logs if line["log_level"] == "error"] == ["source"]
    for port in (*made.admin.ports.values(), made.worker.grpc.port):
        socket.create_server(("127.0.0.1", port)).close()


async def test_the_end_of_a_wrong_configuration_is_told_at_the_same_level(tmp_path: Path) -> None:
    """ERROR for the wrong one, WARN for the right one after it, INFO for one after a right one."""
    made = app(tmp_path)
    with capture_logs() as logs:
        for config in ([], None, GOOD, GOOD):
            made._config_failed(ConfigError("bad")) if config is None else made._config_loaded(load_config(config))
    assert [line["log_level"] for line in logs] == ["warning", "error", "warning", "info"]
    assert "no domain" in logs[0]["event"]
    await made._close()


async def test_a_clean_life_is_silent_at_the_default_level(tmp_path: Path, valkey_port: int) -> None:
    """Start, first connection and stop go well: nothing at WARN from app, worker or health."""
    made = app(
        tmp_path, BACKEND_TYPE="redis", REDIS_SOCKET_TYPE="tcp", REDIS_URL=f"127.0.0.1:{valkey_port}",
        REDIS_HEALTH_CHECK_ACTIVE_CONNECTION="true",
    )  # fmt: skip
    with capture_logs() as logs:
        running = asyncio.ensure_future(made.run())
        await until_serving(made)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(running, 30)
    own = [line for line in logs if "store" not in line["event"]]
    assert [line["log_level"] for line in own] == ["info"] * len(own)
    assert [line["event"] for line in own][-2:] == ["draining", "stopped"]


async def test_one_sink_is_fed(tmp_path: Path) -> None:
    """As the settings say; Prometheus asks by itself."""
    chosen: tuple[dict[str, str], ...] = (
        {},
        {"USE_STATSD": "true"},
        {"USE_DOG_STATSD": "true"},
        {"USE_DOG_STATSD": "true", "DISABLE_STATS": "t"},
    )
    sinks = [app(tmp_path / str(number), **given)._sink for number, given in enumerate(chosen)]
    assert [type(sink) for sink in sinks] == [type(None), StatsdSink, DogStatsdSink, type(None)]


async def test_loads_are_kept_for_the_page(tmp_path: Path) -> None:
    """Good ones, and bad ones with what was wrong."""
    made = app(tmp_path)
    made._config_loaded(load_config(GOOD))
    made._config_failed(ConfigError("no", file="f", line=3))
    assert [(load.limits, load.error, load.line) for load in made._loads.last] == [(1, "", 0), (0, "no", 3)]
    assert made.worker.worker_states == ()
    made.worker.watch_keys(on=True)
    assert made.worker.key_rates() == ({"busiest": [], "over": [], "step": 1},)
    made.worker.watch_keys(on=False)
    assert made.worker.key_rates() == ()
    await made._close()
