"""A real instance whose store stands still for a while, under calls that do not wait for each other."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest
import redis.asyncio

from deploy.demo.processes import config_map, start_service, start_valkey, until
from loadtest.fault_client import connect, run
from loadtest.raw_client import Load, close
from loadtest.request_frames import CONFIG

OK, UNAVAILABLE = 0, 14
RATE = 1000


def statuses(port: int, seconds: float) -> Counter[int]:
    """What calls by the clock came to."""
    load = Load(port, requests=int(RATE * seconds), rate=RATE, code=None)
    connections = connect(load)
    try:
        return Counter(int(status) for status in run(load, connections)[2::3])
    finally:
        close(connections)


@pytest.mark.integration
async def test_a_store_that_stops_and_goes_on(tmp_path: Path) -> None:
    """All calls are answered, OK or UNAVAILABLE; the breaker opens and closes; no more ghosts than are told of."""
    store, port = await start_valkey(tmp_path)
    environ = {
        "RUNTIME_ROOT": str(config_map(tmp_path, CONFIG)),
        "RUNTIME_IGNOREDOTFILES": "true",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"127.0.0.1:{port}",
        "DRAIN_DELAY": "0",
    }
    instance = await start_service("service", tmp_path, environ)
    loading = asyncio.create_task(asyncio.to_thread(statuses, instance.grpc_port, 3.0))

    async def opened() -> bool:
        return (await instance.stats())["ratelimit.store.breaker_open"] == 1

    async def closed() -> bool:
        return (await instance.stats())["ratelimit.store.breaker_open"] == 0

    async with redis.asyncio.Redis(port=port) as client:
        while not await client.keys("*tier*"):  # noqa: ASYNC110 - the load begins in another thread
            await asyncio.sleep(0.01)
        store.process.send_signal(signal.SIGSTOP)
        await until(instance.program, opened, "its breaker open")
        store.process.send_signal(signal.SIGCONT)
        await until(instance.program, closed, "its breaker closed")
        found = await loading
        assert set(found) == {OK, UNAVAILABLE}
        assert found.total() == 3 * RATE
        after = statuses_of(await asyncio.to_thread(statuses, instance.grpc_port, 0.2), found)
        (key,) = await client.keys("*tier*")
        stored = int(await client.get(key) or 0)
        stats = await instance.stats()
    assert after[OK] <= stored <= after[OK] + stats["ratelimit.store.unknown_outcomes"]
    assert stats["ratelimit.store.breaker_opened"] >= 1
    assert await instance.program.stop() == 0
    await store.stop()


def statuses_of(*parts: Counter[int]) -> Counter[int]:
    """The sum of several loads."""
    return sum(parts, Counter())
