"""`make bench`: the load test that says how fast the service is, beside others, in one run.

Servers are pinned to core 0, clients and store to core 1 where there are two. Measured in the same rounds, in turns:
ours, a bare server in Python as the floor (PROOF_CMD names another that takes PORT and REDIS_PORT), and with PEER_CMD
another rate limit service, a command line that is started with the environment of ours. EXTRA=grpcio,memory adds ours
in other ways. ROUNDS, SECONDS (of one measurement) and CASES (a comma-separated choice) size the run; REPORT is the
folder for report.md, results.json and the chart.
"""

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import redis.asyncio

from deploy.demo.processes import LOOPBACK, config_map, run_to_the_end
from loadtest.answers import LoadFailedError
from loadtest.cases import CASES, Case
from loadtest.measuring import Sample, measure
from loadtest.report import summary, write_report
from loadtest.request_frames import CONFIG, OWN_CONFIG, TOGETHER_CONFIG
from loadtest.results import Results
from loadtest.servers import OURS, OWN_FOLDER, PROOF, Server, programs, start_server, start_store
from loadtest.sizes import number_of

REQUESTS_MIN, REQUESTS_MAX = 1000, 200_000
WARM_REQUESTS = 2000
FAILURES_MAX = 2


class Bench:
    """The servers, and how many requests keep each of them busy for long enough."""

    def __init__(self, servers: Sequence[Server], store: redis.asyncio.Redis, seconds: int) -> None:
        self._servers, self._store, self._seconds = servers, store, seconds
        self._rates: dict[tuple[str, str], float] = {}
        self.results = Results(machine())

    async def run_round(self, case: Case, *, counted: bool) -> None:
        """Each server once, but for one that failed the case again and again."""
        for server in self._servers:
            key = (case.name, server.name)
            failures = self.results.failures.get(key, [])
            if len(failures) > FAILURES_MAX or not knows(server.name, case):
                continue
            try:
                sample = await self._measure(case, server)
            except LoadFailedError as error:
                self.results.failures[key] = [*failures, str(error)]
                print(f"bench: {case.name}, {server.name}: {error}", flush=True)
                continue
            self._rates[key] = sample.rate
            if counted:
                self.results.samples.setdefault(key, []).append(sample)

    async def _measure(self, case: Case, server: Server) -> Sample:
        await self._store.flushall()
        rate = self._rates.get((case.name, server.name))
        if rate is None:
            requests = WARM_REQUESTS
            if case.name == "over":  # the first ones are not over the limit yet
                await measure(Case("", "", case.load.with_any_code()), server, REQUESTS_MIN)
        else:
            requests = min(REQUESTS_MAX, max(REQUESTS_MIN, int(rate * self._seconds)))
        return await measure(case, server, requests)

    def remember_memory(self) -> None:
        """The servers' memory, after all."""
        for server in self._servers:
            with contextlib.suppress(LoadFailedError):  # one that ended has failed its cases already
                self.results.rss_mb[server.name] = server.rss_mb()


def write_configs(folder: Path) -> None:
    """The configuration of all servers, and that of ours in a folder of its own: others refuse what is ours alone."""
    config_map(folder, CONFIG)
    own = config_map(folder / OWN_FOLDER, OWN_CONFIG) / "config"
    (own / "together.yaml").write_text(TOGETHER_CONFIG)


def knows(server: str, case: Case) -> bool:
    """Whether a server can do the case: a proof of somebody else's is only asked what any can answer."""
    if case.own:
        return server.startswith(OURS)
    return server != PROOF or not os.environ.get("PROOF_CMD") or case.load.kind not in {"ten", "over"}


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    return {
        "cores": str(os.cpu_count()),
        "processor": f"{model} ({platform.machine()})",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "client of the plain cases": "h2load" if shutil.which("h2load") else "raw_client",
    }


def _lines(path: str) -> list[str]:
    file = Path(path)
    return file.read_text().splitlines() if file.exists() else []


def chosen(names: str) -> list[Case]:
    """The cases of that name, all for none. Raises ValueError."""
    wanted = [name for name in names.split(",") if name]
    known = {case.name: case for case in CASES}
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"CASES: {', '.join(unknown)} is not one of {', '.join(known)}")
    return [known[name] for name in wanted] or list(CASES)


async def main() -> int:
    """Start everything, measure in turns, write the report; 1 where a server failed."""
    seconds, rounds = number_of("SECONDS", 2, 1), number_of("ROUNDS", 5, 1)
    cases, wanted = chosen(os.environ.get("CASES", "")), programs(os.environ)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-bench-")))
        write_configs(folder)
        store_port = await start_store(stack, folder)
        servers = [await start_server(stack, program, folder, store_port) for program in wanted]
        store = await stack.enter_async_context(redis.asyncio.Redis(host=LOOPBACK, port=store_port))
        bench = Bench(servers, store, seconds)
        for number in range(-1, rounds):  # the one below 0 warms up and finds how fast each is
            for case in cases:
                print(f"bench: round {number + 1} of {rounds}, {case.name}", flush=True)
                await bench.run_round(case, counted=number >= 0)
        bench.remember_memory()
    where = Path(os.environ.get("REPORT") or "build/bench")
    write_report(bench.results, where)
    print(f"\n{summary(bench.results)}\n\nthe report is in {where}")
    return int(bool(bench.results.failures))


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "bench"))
