"""Whether the reference starts as the table of tests/settings says: ours is held against that table without it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.differential.instance import common
from tests.differential.peer import verdict
from tests.settings.verdicts import Case

# So many start at once, so that a wait of one is time for another.
AT_ONCE = 4
WAIT_S = 10.0


async def unlike(cases: Sequence[Case], program: Path, folder: Path, valkey_port: int) -> list[str]:
    """The cases of which the table is wrong, with the reference's last words."""
    (folder / "config").mkdir(exist_ok=True)
    turns = asyncio.Semaphore(AT_ONCE)

    async def judge(case: Case) -> str:
        async with turns:
            base = {**common(valkey_port, folder, ""), "USE_STATSD": "false"}
            started, words = await verdict(program, {**base, **case.environ}, WAIT_S)
        return "" if started is case.starts else f"{dict(case.environ)}: it {'starts' if started else words}"

    return [told for told in await asyncio.gather(*map(judge, cases)) if told]
