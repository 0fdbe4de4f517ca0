"""`make surface`: ours beside envoyproxy/ratelimit, built from the Go module cache, on one Valkey.

Whether it starts with every spelling of every variable, and what calls are answered. Exit status 2 where it cannot be
built, 1 where anything differs.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from deploy.demo.processes import start_valkey
from tests.differential.calls import json_calls, page_calls, rpc_calls
from tests.differential.peer import NoPeerError, build
from tests.differential.starts import unlike
from tests.differential.test_codes import differences
from tests.settings.verdicts import of_kinds, of_meaning


async def compare(folder: Path, program: Path) -> int:
    """Tell what differs, and how much was looked at; how many differences there are."""
    valkey, port = await start_valkey(folder)
    try:
        cases = [*of_kinds(), *of_meaning()]
        calls = [*json_calls(), *page_calls(), *rpc_calls()]
        found = await unlike(cases, program, folder / "starts", port)
        found += await differences(calls, program, folder / "calls", port)
    finally:
        await valkey.stop()
    told = [*found, f"{len(cases)} starts, {len(calls)} calls: {len(found)} differences"]
    sys.stdout.write("".join(f"{line}\n" for line in told))
    return len(found)


def main() -> int:
    """Build it, compare, and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="differential-") as name:
        folder = Path(name)
        for part in ("starts", "calls"):
            (folder / part).mkdir()
        try:
            program = build(folder)
        except NoPeerError as error:
            sys.stderr.write(f"nothing to compare with: {error}\n")
            return 2
        return 1 if asyncio.run(compare(folder, program)) else 0


if __name__ == "__main__":
    sys.exit(main())
