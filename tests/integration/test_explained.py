"""`/explain` of a whole service: two workers, whose supervisor has no store, and a Valkey that goes away."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from deploy.demo.processes import LOOPBACK, config_map, start_service, start_valkey

pytestmark = pytest.mark.integration
CONFIG = """domain: d
on_store_error: allow
descriptors:
  - key: k
    rate_limit: {unit: year, requests_per_unit: 5}
"""
ASK = {"domain": "d", "descriptors": [{"entries": [{"key": "k", "value": "v"}]}]}


async def test_counts_are_looked_up_in_a_worker(tmp_path: Path) -> None:
    """No key is created by looking, the key that is told is the one that is counted; a store that is away is told."""
    valkey, port = await start_valkey(tmp_path)
    try:
        environ = {
            "WORKERS": "2",
            "RUNTIME_ROOT": str(config_map(tmp_path / "runtime", CONFIG)),
            "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp",
            "REDIS_URL": f"{LOOPBACK}:{port}",
            "REDIS_TIMEOUT": "1s",
        }
        service = await start_service("service", tmp_path, environ)
        try:
            async with aiohttp.ClientSession() as session:
                before = await explained(session, service.debug_port)
                assert before["current"]["used"] == 0
                assert await keys(port) == []
                async with session.post(f"http://{LOOPBACK}:{service.http_port}/json", json=ASK) as response:
                    assert response.status == 200
                after = await explained(session, service.debug_port)
                assert after["current"]["used"] == 1
                assert await keys(port) == [after["counter"]["key"]]
                assert (after["limit"]["file"], after["limit"]["line"]) == ("config.yaml", 4)
                await valkey.stop()
                away = await explained(session, service.debug_port)
                assert away["current"]["told"].startswith("not known: ")
                assert away["counter"]["key"] == after["counter"]["key"]
        finally:
            await service.program.stop()
    finally:
        await valkey.stop()


async def explained(session: aiohttp.ClientSession, port: int) -> dict[str, Any]:
    """What is said of the one descriptor."""
    url = f"http://{LOOPBACK}:{port}/explain"
    async with session.get(url, params={"domain": "d", "entries": "k=v"}) as response:
        (found,) = (await response.json())["descriptors"]
        return dict(found)


async def keys(port: int) -> list[str]:
    """Every key that the store holds, but the one by which a worker knows that it is there."""
    async with redis.asyncio.Redis(host=LOOPBACK, port=port) as client:
        return [name.decode() async for name in client.scan_iter() if name != b"{rl:ready}"]
