import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.differential.calls import CONFIG, K, json_calls, page_calls, rpc_calls
from tests.differential.compare import Call, Http, difference
from tests.differential.instance import Instance, common
from tests.differential.ours import start_ours
from tests.differential.peer import start_peer

pytestmark = [pytest.mark.integration, pytest.mark.reference]


@contextlib.asynccontextmanager
async def both(
    program: Path, folder: Path, valkey_port: int, prefixes: tuple[str, str] = ("theirs:", "ours:")
) -> AsyncIterator[tuple[Instance, Instance]]:
    """Theirs and ours on one Valkey, with one configuration and each with its prefix of keys; ended afterwards."""
    (folder / "config").mkdir()
    (folder / "config" / "d.yaml").write_text(CONFIG)
    theirs, ours = (common(valkey_port, folder, prefix) for prefix in prefixes)
    starts = start_peer(program, folder, theirs), start_ours(folder, ours)
    started = await asyncio.gather(*starts, return_exceptions=True)
    instances = [each for each in started if isinstance(each, Instance)]
    try:
        for each in started:
            if isinstance(each, BaseException):
                raise each
        yield instances[0], instances[1]
    finally:
        await asyncio.gather(*(each.stop() for each in instances))


async def differences(calls: Sequence[Call], program: Path, folder: Path, valkey_port: int) -> list[str]:
    """What a client could tell the two apart by, in calls sent to both one after the other."""
    async with both(program, folder, valkey_port) as (theirs, ours):
        return [f"{call}: {told}" for call in calls if (told := await difference(call, theirs, ours))]


async def test_answers_over_http_and_grpc_are_theirs(peer: Path, tmp_path: Path, valkey_port: int) -> None:
    """Status, body and content type of /json, /healthcheck and /rlconfig; codes of gRPC: nothing differs."""
    calls = [*json_calls(), *page_calls(), *rpc_calls()]
    assert await differences(calls, peer, tmp_path, valkey_port) == []


async def test_counters_are_shared_during_a_migration(peer: Path, tmp_path: Path, valkey_port: int) -> None:
    """COUNTER_KEY_FORMAT=reference on one Redis: what one counts the other sees, whichever comes first."""
    ask = Http("/json", json.dumps(K).encode())
    async with both(peer, tmp_path, valkey_port, prefixes=("p:", "p:")) as (theirs, ours):
        assert [(await ask.send(each))["status"] for each in (theirs, ours, theirs, ours)] == [200, 200, 429, 429]
