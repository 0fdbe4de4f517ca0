import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.differential.calls import CONFIG, json_calls, page_calls, rpc_calls
from tests.differential.compare import Call, difference
from tests.differential.instance import common
from tests.differential.ours import start_ours
from tests.differential.peer import start_peer

pytestmark = [pytest.mark.integration, pytest.mark.reference]


async def differences(calls: Sequence[Call], program: Path, folder: Path, valkey_port: int) -> list[str]:
    """What a client could tell the two apart by, in calls sent to both one after the other."""
    (folder / "config").mkdir()
    (folder / "config" / "d.yaml").write_text(CONFIG)
    theirs, ours = await asyncio.gather(
        start_peer(program, folder, common(valkey_port, folder, "theirs:")),
        start_ours(folder, common(valkey_port, folder, "ours:")),
    )
    try:
        return [f"{call}: {told}" for call in calls if (told := await difference(call, theirs, ours))]
    finally:
        await asyncio.gather(theirs.stop(), ours.stop())


async def test_answers_over_http_and_grpc_are_theirs(peer: Path, tmp_path: Path, valkey_port: int) -> None:
    """Status, body and content type of /json, /healthcheck and /rlconfig; codes of gRPC: nothing differs."""
    calls = [*json_calls(), *page_calls(), *rpc_calls()]
    assert await differences(calls, peer, tmp_path, valkey_port) == []
