import asyncio
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.demo.quota import Fleet

pytestmark = pytest.mark.integration
LIMIT = 200


async def shares(fleet: Fleet) -> list[dict[str, Any]]:
    """What /rlqs shows of the domain."""
    address = f"http://127.0.0.1:{fleet.instance.debug_port}/rlqs?domain=example"
    async with aiohttp.ClientSession() as session, session.get(address) as reply:
        buckets: list[dict[str, Any]] = json.loads(await reply.text())["buckets"]
    return buckets


async def test_two_envoys_share_one_limit(tmp_path: Path) -> None:
    """Real ones: each wants more than half of it, together they get no more than all of it, and both their part.

    `make rlqs` holds every window of 10 s to 5 %, which wants a machine of its own.
    """
    fleet = Fleet(tmp_path, LIMIT)
    await fleet.start(2)
    try:
        fleet.load([300.0, 150.0])
        async with asyncio.timeout(60):
            while True:
                buckets = await shares(fleet)
                envoys = buckets[0]["envoys"] if buckets else []
                if len(envoys) == 2 and all(each["acknowledged"] and each["rate"] > 0 for each in envoys):
                    break
                await asyncio.sleep(0.05)
            # Both were told, over streams that tell who has read what: the PING behind each was answered.
            before, began_s = len(fleet.admitted), time.monotonic()
            while len(fleet.admitted) < before + 4 * LIMIT:  # noqa: ASYNC110 - counted by the clients
                await asyncio.sleep(0.05)
            admitted, took_s = len(fleet.admitted) - before, time.monotonic() - began_s
        (bucket,) = await shares(fleet)
    finally:
        await fleet.stop()
    assert sorted(share["envoy"] for share in bucket["envoys"]) == ["envoy-0", "envoy-1"]
    assert bucket["hold"] <= bucket["limit"] == LIMIT
    assert bucket["entries"] == [["service", "a"]]
    assert admitted <= 1.25 * LIMIT * took_s + LIMIT / 4
    assert (fleet.failed, fleet.denied > 0) == (0, True)
    assert "level=error" not in fleet.instance.program.log.read_text()
