"""`make differential`: random scenarios on our server and on envoyproxy/ratelimit's, built from its source.

    SCENARIOS=         (500) random configurations with requests, from SEED= (0) on
    PEER_CMD=          the reference's binary, which is built if none is given
    REFERENCE_SOURCE=  a checkout of it; else it is looked for in the Go module cache

Exit status 2 where it cannot be built, 1 where anything differs. `make surface` holds settings and codes.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from tests.differential.peer import NoPeerError, build
from tests.differential.scenarios import scenarios


def main() -> int:
    """Build it, compare, and leave nothing behind."""
    count, first = int(os.environ.get("SCENARIOS") or 500), int(os.environ.get("SEED") or 0)
    with tempfile.TemporaryDirectory(prefix="differential-") as folder:
        try:
            program = build(Path(folder))
        except NoPeerError as error:
            sys.stderr.write(f"nothing to compare with: {error}\n")
            return 2
        found = asyncio.run(scenarios(program, count, first))
    sys.stdout.write("".join(f"{each}\n" for each in found))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
