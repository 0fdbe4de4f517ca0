import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.demo.processes import LOOPBACK, start_envoy
from loadtest.header_blocks import PATH
from loadtest.restart import bootstrap
from ratelimit.transport.block_memo import BlockMemo
from ratelimit.transport.connection import Connection
from ratelimit.transport.methods import Call
from ratelimit.transport.native_server import NativeServer
from tests.transport.server_contract import LOOPBACK as ON_LOOPBACK

pytestmark = pytest.mark.integration
OK = b"\x08\x01"
REQUESTS = 400
# Full decodes of a connection: its first calls, before our SETTINGS are known, and one to learn how they differ.
DECODES_MAX = 16


def traced() -> tuple[dict[str, Any], int]:
    """An Envoy that sends a new `traceparent` with each call; and the port of its upstream."""
    config, port = bootstrap()
    resources = config["static_resources"]
    manager = resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["tracing"] = {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "grpc_service": {"envoy_grpc": {"cluster_name": "catalog"}},
                "service_name": "gateway",
            },
        }
    }
    for cluster in resources["clusters"]:
        cluster.pop("health_checks", None)
    return config, port


async def test_blocks_that_change_with_each_call_are_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracing Envoy leaves the dynamic table once we refuse it, and hardly a block of it is decoded in full."""
    decoded: dict[Connection, int] = {}
    blocks: set[bytes] = set()
    decode, find = Connection._head, BlockMemo.find_in

    def counted(connection: Connection, block: bytes) -> Any:
        decoded[connection] = decoded.get(connection, 0) + 1
        return decode(connection, block)

    def noted(memo: BlockMemo, data: bytes, start: int, end: int) -> Any:
        blocks.add(data[start:end])
        return find(memo, data, start, end)

    monkeypatch.setattr(Connection, "_head", counted)
    monkeypatch.setattr(BlockMemo, "find_in", noted)

    def allow(calls: Sequence[Call], _: Sequence[bytes]) -> None:
        for call in calls:
            call.reply(OK)

    server = NativeServer(ON_LOOPBACK)
    server.add_direct_method(PATH, allow)
    await server.start()
    config, upstream = traced()
    envoy = await start_envoy(tmp_path, config, {"catalog": [upstream], "ratelimit": [server.port]})
    try:
        async with aiohttp.ClientSession() as session:

            async def ask() -> int:
                async with session.get(f"http://{LOOPBACK}:{envoy.port}/", headers={"x-loyalty": "gold"}) as response:
                    return response.status

            for _ in range(REQUESTS // 8):
                assert set(await asyncio.gather(*(ask() for _ in range(8)))) == {200}
    finally:
        await envoy.program.stop(9)
        await server.stop(0)
    assert len(blocks) >= REQUESTS
    assert 0 < max(decoded.values()) <= DECODES_MAX
