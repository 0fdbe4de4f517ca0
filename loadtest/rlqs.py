"""`make rlqs`: one limit over real Envoys, and over simulated ones on sockets, while what can go away does.

Every window of 10 s is held against the limit, as the clients saw it, from SETTLED_S after the start on: what passes
before an Envoy's first assignment (docs/rlqs.md) is told apart. ENVOYS= (2,10), SIMULATED= (10,100), SECONDS= (40).
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.demo.processes import run_to_the_end
from deploy.demo.quota import Fleet, use, worst_window
from loadtest.simulated_envoys import SimulatedFleet

SETTLED_S = 8.0
OVER_MAX = 1.05
USE_MIN = 0.9
# A service that has lost its state learns for up to 12 s, and an Envoy that is killed asks for nothing meanwhile.
USE_RESTARTED_MIN = 0.75


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one scenario came to, as parts of the limit."""

    name: str
    worst: float
    used: float
    used_min: float

    @property
    def passes(self) -> bool:
        """Whether that is what is promised."""
        return self.worst <= OVER_MAX and self.used >= self.used_min


def numbers(name: str, default: str) -> list[int]:
    """A list of the environment."""
    return [int(text) for text in os.environ.get(name, default).split(",") if text]


def outcome(name: str, admitted: Sequence[float], limit_per_s: int, span: tuple[float, float]) -> Outcome:
    """Judge what was admitted between two moments."""
    first, last = span
    settled = [at_s for at_s in admitted if first <= at_s <= last]
    used_min = USE_RESTARTED_MIN if "killed" in name else USE_MIN
    return Outcome(name, worst_window(settled, limit_per_s), use(settled, limit_per_s, first, last), used_min)


async def real(envoys: int, seconds: float, *, restart: bool) -> Outcome:
    """Real Envoys under twice the limit; with `restart` the service and then one of them are killed."""
    limit = 100 * envoys
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder), limit)
        await fleet.start(envoys)
        try:
            fleet.load([200.0] * envoys)
            await asyncio.sleep(SETTLED_S)
            began_s = time.monotonic()
            steps: list[Callable[[], Awaitable[None]]] = []
            if restart:
                steps = [fleet.restart_service, lambda: fleet.restart_envoy(envoys - 1)]
            for step in steps:
                await asyncio.sleep(seconds / 3)
                await step()
            await asyncio.sleep(seconds / (3 if restart else 1))
            ended_s = time.monotonic()
        finally:
            await fleet.stop()
    name = f"{envoys} Envoys{', the service and one of them killed' if restart else ''}"
    return outcome(name, fleet.admitted, limit, (began_s, ended_s))


async def simulated(envoys: int, seconds: float) -> Outcome:
    """Simulated Envoys, whose demand differs and comes to twice the limit."""
    limit = 100 * envoys if envoys <= 10 else 20 * envoys
    with tempfile.TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder), limit)
        await fleet.start(0, RLQS_ENVOY_METADATA="")
        simulation = SimulatedFleet(fleet.instance.grpc_port, envoys, limit)
        try:
            await simulation.run(SETTLED_S + seconds)
        finally:
            await fleet.stop()
    return outcome(f"{envoys} simulated", simulation.admitted, limit, simulation.span(SETTLED_S))


async def main() -> int:
    """Run all; 1 where one is beyond what is promised."""
    seconds = float(os.environ.get("SECONDS", "40"))
    runs: list[Callable[[], Awaitable[Outcome]]] = []
    for envoys in numbers("ENVOYS", "2,10"):
        runs += [partial(real, envoys, seconds, restart=restart) for restart in (False, True)]
    runs += [partial(simulated, envoys, seconds) for envoys in numbers("SIMULATED", "10,100")]
    print(f"{'':45} {'worst 10 s':>11} {'use':>7}", flush=True)
    failed = 0
    for run in runs:
        found = await run()
        failed += not found.passes
        told = "" if found.passes else f"  <-- at most {OVER_MAX:.0%}, at least {found.used_min:.0%}"
        print(f"{found.name:45} {found.worst:>10.1%} {found.used:>7.1%}{told}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "rlqs"))
