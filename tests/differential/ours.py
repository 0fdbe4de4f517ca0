"""Our server, in a process of its own, as near to the reference as its switches bring it."""

import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.demo.processes import ROOT, start
from tests.differential.instance import Instance, until_serving

# The switches of docs/differences.md.
AS_THEIRS = {
    "COUNTER_KEY_FORMAT": "reference",
    "GRPC_ERROR_CODES": "reference",
    "CONFIG_STRICT": "false",
    "DRAIN_DELAY": "0",
    "DRAIN_GRACE": "0",
    "USE_PROMETHEUS": "false",
    "LOG_LEVEL": "error",
}


async def start_ours(folder: Path, environ: Mapping[str, str]) -> Instance:
    """Start it and wait until it serves."""
    given = {**AS_THEIRS, **environ, "PYTHONPATH": str(ROOT)}
    process = await start("ours", [sys.executable, "-m", "ratelimit"], folder, given)
    return await until_serving(Instance.of(process, given))
