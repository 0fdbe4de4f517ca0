from pathlib import Path

import pytest
import redis.asyncio

from deploy.demo.processes import config_map, start_service
from loadtest.request_frames import CONFIG
from loadtest.soak import Look, Soak, judged


def test_looks_are_judged() -> None:
    """Memory by its bounds and its growth, blocks by theirs, files and tasks by what they were before."""
    before, half = Look(0, 0, 70, 20, 9, 50_000), Look(61, 500, 90, 28, 9, 100_000)
    after = Look(120, 1000, 92, 20, 9, 100_900)
    assert all(good for _, good in judged([before, half, after]))
    leaking = [Look(0, 0, 91, 20, 9, 50_000), half, Look(120, 1000, 121, 21, 10, 101_000)]
    assert not any(good for _, good in judged(leaking))


@pytest.mark.integration
async def test_connections_come_and_go(
    tmp_path: Path, valkey_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A moment of it: calls on short connections, some left open, and nothing stays behind."""
    monkeypatch.setattr("loadtest.soak.RUDE_PART", 0.0)
    monkeypatch.setattr("loadtest.soak.LOOK_EVERY_S", 0.5)
    environ = {
        "RUNTIME_ROOT": str(config_map(tmp_path, CONFIG)),
        "RUNTIME_IGNOREDOTFILES": "true",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"127.0.0.1:{valkey_port}",
        "REDIS_TIMEOUT": "5s",
        "DRAIN_DELAY": "0",
    }
    lags = tmp_path / "lags.json"
    instance = await start_service("service", tmp_path, environ, module=("loadtest.probed", str(lags)))
    async with redis.asyncio.Redis(port=valkey_port) as store:
        soak = Soak(instance, lags, store)
        await soak.run(0.1)  # on a slow machine not all has started when the first call could be answered
        monkeypatch.setattr("loadtest.soak.RUDE_PART", 0.5)
        before = await soak.look()
        await soak.run(2)
        after = await soak.settle(before)
    assert await instance.program.stop() == 0
    assert soak.requests == soak.bundles * 2000 > 0
    assert after.files <= before.files
    assert after.tasks <= before.tasks
    assert len(capsys.readouterr().out.splitlines()) == len(soak.looks) >= 3
