"""`make bench-cluster`: one worker on a Cluster of three nodes beside the same on a single node, mixed keys.

The servers are pinned to core 0, clients and all stores to core 1 where there are two: so the CPU time of a request in
the server says what a worker can carry, and the rate what came of it where four stores and the client share a core.
Rounds take turns, and the best of each counts. ROUNDS and SECONDS (of one measurement) size the run.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from deploy.demo.cluster import ValkeyCluster
from deploy.demo.processes import config_map, run_to_the_end
from loadtest.cases import Case
from loadtest.measuring import Sample, measure
from loadtest.raw_client import Load
from loadtest.request_frames import CONFIG, MIXED
from loadtest.servers import CLIENT_CORE, OURS, OURS_COMMAND, OURS_ENVIRON, Program, pinned, start_server, start_store
from loadtest.sizes import number_of

STREAMS = (8, 32)
CASES = tuple(
    Case(kind, f"{kind}, 4 connections x {streams} streams", Load(0, kind, connections=4, streams=streams))
    for streams in STREAMS
    for kind in MIXED
)
WARM_REQUESTS = 20_000


def row(case: Case, single: Sequence[Sample], cluster: Sequence[Sample]) -> str:
    """The table's: rates and CPU times, and how much of the single node's a Cluster carries by either."""
    rates = [max(each.rate for each in samples) for samples in (single, cluster)]
    cpus = [min(each.cpu_us for each in samples) for samples in (single, cluster)]
    cells = f"{rates[0]:>10,.0f}{rates[1]:>10,.0f}{rates[1] / rates[0]:>8.2f}"
    return f"{case.title:<44}{cells}{cpus[0]:>10.2f}{cpus[1]:>10.2f}{cpus[0] / cpus[1]:>8.2f}"


async def measure_all() -> int:
    """Measure every case in turns and print the table; the exit code."""
    try:
        rounds, seconds = number_of("ROUNDS", 3, 1), number_of("SECONDS", 2, 1)
    except ValueError as error:
        sys.exit(f"bench-cluster: {error}")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config_map(folder, CONFIG)
        port = await start_store(stack, folder)
        cluster = stack.enter_context(ValkeyCluster(folder))
        if pinned(CLIENT_CORE):
            for node in cluster.masters:
                os.sched_setaffinity(node.pid, {CLIENT_CORE})
        ways = {"single": OURS_ENVIRON, "cluster": {**OURS_ENVIRON, "REDIS_TYPE": "CLUSTER", "REDIS_URL": cluster.url}}
        servers = [
            await start_server(stack, Program(f"{OURS}-{way}", OURS_COMMAND, environ), folder, port)
            for way, environ in ways.items()
        ]
        print(f"{'':<44}{'single/s':>10}{'cluster/s':>10}{'ratio':>8}{'CPU µs':>10}{'CPU µs':>10}{'ratio':>8}")
        for case in CASES:
            samples: list[list[Sample]] = [[] for _ in servers]
            for _ in range(rounds):
                for server, mine in zip(servers, samples, strict=True):
                    wanted = int(mine[-1].rate * seconds) if mine else WARM_REQUESTS
                    mine.append(await measure(case, server, max(WARM_REQUESTS, wanted)))
            print(row(case, *samples), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_to_the_end(measure_all, "bench-cluster"))
