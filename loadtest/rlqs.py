"""`make rlqs`: one limit over real Envoys, and over simulated ones on sockets, while what can go away does.

Every window of 10 s is held against the limit, as the clients saw it, from SETTLED_S after the start on: what passes
before an Envoy's first assignment (docs/rlqs.md) is told apart. Simulated Envoys are spread over two replicas on one
Valkey, one of which is killed half-way and started again; they may do APART worse than the same in the simulation of
decisions/0010, which is run first. ENVOYS= (2,10), SIMULATED= (10,100), SECONDS= (40).
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
from loadtest.quota_replicas import Replicas, rates_of, simulate
from loadtest.simulated_envoys import SimulatedFleet
from loadtest.sizes import number_of

SETTLED_S = 8.0
# As long as the simulation's.
SIMULATED_SETTLED_S = 10
APART = 0.03
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
    worst_max: float
    used_min: float
    # What the simulation came to.
    beside: str = ""

    @property
    def passes(self) -> bool:
        """Whether that is what is promised."""
        return self.worst <= self.worst_max and self.used >= self.used_min


def numbers(name: str, default: str) -> list[int]:
    """A list of the environment."""
    return [int(text) for text in os.environ.get(name, default).split(",") if text]


def settled(admitted: Sequence[float], limit_per_s: int, span: tuple[float, float]) -> tuple[float, float]:
    """The worst window and the use between two moments."""
    first, last = span
    # Each Envoy looks at its requests by itself, some ms after they came.
    counted = sorted(at_s for at_s in admitted if first <= at_s <= last)
    return worst_window(counted, limit_per_s), use(counted, limit_per_s, first, last)


def outcome(name: str, admitted: Sequence[float], limit_per_s: int, span: tuple[float, float]) -> Outcome:
    """Judge what real Envoys admitted between two moments."""
    used_min = USE_RESTARTED_MIN if "killed" in name else USE_MIN
    return Outcome(name, *settled(admitted, limit_per_s, span), OVER_MAX, used_min)


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


async def simulated(envoys: int, seconds: int, *, named: bool = True, killed: bool = False) -> Outcome:
    """Simulated Envoys on two replicas, whose demand differs and comes to half more than the limit."""
    limit, length_s = 1_000 if envoys <= 10 else 20 * envoys, SIMULATED_SETTLED_S + seconds
    kill_at_s = length_s // 2 if killed else None
    wanted = simulate(envoys, limit, length_s, named=named, kill_at_s=kill_at_s)
    with tempfile.TemporaryDirectory() as folder:
        replicas = Replicas(Path(folder), limit, envoys)
        await replicas.start()
        try:
            fleet = SimulatedFleet(replicas.ports, rates_of(envoys, limit), named=named)
            running = asyncio.ensure_future(fleet.run(length_s))
            if kill_at_s is not None:
                await asyncio.sleep(kill_at_s)
                await replicas.kill_and_restart(0)
            await running
        finally:
            await replicas.stop()
    name = f"{envoys} simulated, {'named' if named else 'nameless'}{', a replica killed' if killed else ''}"
    worst, used = settled(fleet.admitted, limit, fleet.span(SIMULATED_SETTLED_S))
    beside = f"{1 + wanted.overshoot:.1%} {wanted.use:.1%}"
    # Nobody complains of what is within the limit, however little the simulation admitted.
    return Outcome(name, worst, used, max(1.0, 1 + wanted.overshoot + APART), wanted.use - APART, beside)


async def main() -> int:
    """Run all; 1 where one is beyond what is promised."""
    seconds = number_of("SECONDS", 40, 1)
    runs: list[Callable[[], Awaitable[Outcome]]] = []
    for envoys in numbers("ENVOYS", "2,10"):
        runs += [partial(real, envoys, seconds, restart=restart) for restart in (False, True)]
    for envoys in numbers("SIMULATED", "10,100"):
        runs.append(partial(simulated, envoys, seconds))
        runs += [partial(simulated, envoys, seconds, named=named, killed=True) for named in (True, False)]
    print(f"{'':45} {'worst 10 s':>11} {'use':>7}  {'simulation':>13}", flush=True)
    failed = 0
    for run in runs:
        found = await run()
        failed += not found.passes
        told = "" if found.passes else f"  <-- at most {found.worst_max:.1%}, at least {found.used_min:.1%}"
        print(f"{found.name:45} {found.worst:>11.1%} {found.used:>7.1%}  {found.beside:>13}{told}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "rlqs"))
