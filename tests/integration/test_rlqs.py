import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest

from deploy.demo.quota import Fleet
from loadtest.quota_wire import PATH
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2

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


async def code_of(call: Any) -> grpc.StatusCode:
    """How it ends: its status comes after all that it was told."""
    with contextlib.suppress(grpc.aio.AioRpcError):
        async for _ in call:
            pass
    code: grpc.StatusCode = await call.code()
    return code


def hostile(buckets: int, *, domain: str = "example", negative: bool = False) -> Iterator[bytes]:
    """Reports of ever new buckets, each with a ledger of its own, or of one bucket with times that cannot be."""
    for start in range(0, buckets, 1000):
        message = rlqs_pb2.RateLimitQuotaUsageReports(domain=domain)
        for number in range(start, start + 1000):
            usage = message.bucket_quota_usages.add(num_requests_allowed=2**63 if negative else 1)
            usage.bucket_id.bucket["service"] = "a" if negative else str(number)
            usage.time_elapsed.seconds = -5 if negative else 0
        yield message.SerializeToString()


async def test_hostile_streams_are_bounded_and_told_apart(tmp_path: Path) -> None:
    """Ten thousands of bucket ids, impossible numbers, garbage, nothing read: an honest Envoy beside them is served."""
    fleet = Fleet(tmp_path, LIMIT)
    await fleet.start(0, RLQS_STREAM_BUCKETS_MAX="1500")
    try:
        async with asyncio.timeout(60), grpc.aio.insecure_channel(f"127.0.0.1:{fleet.instance.grpc_port}") as channel:
            method: Any = channel.stream_stream(PATH)
            many, strangers, absurd, garbage, honest = (method() for _ in range(5))
            for message in hostile(2000):
                await many.write(message)
            for message in hostile(10_000, domain="nowhere"):
                await strangers.write(message)
            for message in hostile(3000, negative=True):
                await absurd.write(message)
            await garbage.write(b"\xff" * 1000)
            await honest.write(next(hostile(1)))
            codes = [await code_of(many), await code_of(garbage)]
            assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL]
            assert rlqs_pb2.RateLimitQuotaResponse.FromString(await honest.read()).bucket_action
            assert rlqs_pb2.RateLimitQuotaResponse.FromString(await absurd.read()).bucket_action
            stats = await fleet.instance.stats()
            while stats["ratelimit.quota.unknown_domains"] < 10_000:
                await asyncio.sleep(0.05)
                stats = await fleet.instance.stats()
            text = fleet.instance.program.log.read_text()
    finally:
        await fleet.stop()
    assert stats["ratelimit.quota.streams_broken"] == 2
    assert stats["ratelimit.quota.usages_absurd"] >= 1000
    assert stats["ratelimit.quota.rows"] <= 1001
    for told in ("more than 1500 buckets", "cut short or garbled", "numbers that no Envoy can mean"):
        assert text.count(told) == 1
