"""`make exactness`: the gate with three deadlines of the store, the default one among them; fault runs.

REQUESTS= (1,000,000) and CLIENTS= (8) size the gate, RUNS= (1,000) the fault runs; SEED= repeats one of these.
"""

import logging
import sys
import tempfile
from pathlib import Path

import structlog

from deploy.demo.processes import run_to_the_end, start_valkey
from loadtest.sizes import number_of
from tests.exactness import gate
from tests.exactness.fault_runs import fault_runs

# The first is one that a full machine keeps; with the last, outcomes are unknown.
DEADLINES = ("5s", "10ms", "1ms")
FIRST_SEED = 1_000_000


async def faulted(folder: Path) -> list[str]:
    """The fault runs on a Valkey that is stopped and continued as well; what did not hold."""
    seed = number_of("SEED", 0, 0)
    runs = number_of("RUNS", 1_000, 1)
    seeds = [seed] if seed else range(FIRST_SEED, FIRST_SEED + runs)
    program, port = await start_valkey(folder)
    try:
        totals, found = await fault_runs(seeds, port, program.process.pid)
    finally:
        await program.stop(9)
    told = ", ".join(f"{totals[name]:,} {name}" for name in ("runs", "acknowledged", "unknown"))
    print(f"fault runs: {told}", flush=True)
    return found


async def main() -> int:
    """Everything; 1 where a bound does not hold."""
    # A store behind a proxy that breaks its connections has much to say.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    requests, clients = number_of("REQUESTS", 1_000_000, 1_000), number_of("CLIENTS", 8, 1)
    found: list[str] = []
    for deadline in () if number_of("SEED", 0, 0) else DEADLINES:
        with tempfile.TemporaryDirectory() as folder:
            outcome = await gate.run(Path(folder), gate.Size(requests, clients, deadline))
        print("\n".join((f"gate with REDIS_TIMEOUT={deadline}:", *outcome.table())), flush=True)
        faults = outcome.faults()
        if deadline == DEADLINES[0] and any(line.failed for line in outcome.lines):
            faults.append("calls failed although nothing was wrong")
        found += faults
    with tempfile.TemporaryDirectory() as folder:
        found += await faulted(Path(folder))
    print("\n".join(f"BROKEN: {each}" for each in found) or "every bound holds", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "exactness"))
