"""Two replicas of the service on one Valkey, for Envoys on sockets; and the same in the simulation of tests/quota."""

from contextlib import AsyncExitStack
from pathlib import Path

from deploy.demo.processes import LOOPBACK, Instance, start_service, start_valkey
from deploy.demo.quota import environ_of
from ratelimit.quota.options import LedgerOptions
from tests.quota.replicas import killed_at, nothing, simulate_replicas
from tests.quota.scenarios import Outcome, Scenario, zipf

REPLICAS = 2


def rates_of(envoys: int, limit_per_s: int) -> list[float]:
    """What each Envoy wants: the k-th 1/k of what the first does, all together half more than the limit."""
    return [float(rate) for rate in zipf(envoys, limit_per_s)(0.0)]


def simulate(envoys: int, limit_per_s: int, seconds: int, *, named: bool, kill_at_s: int | None) -> Outcome:
    """What the same ledgers do in the simulation, from its tenth second on; one replica dies, or none."""
    options = LedgerOptions(limit_per_s, envoys_expected=envoys)
    happens = nothing if kill_at_s is None else killed_at(kill_at_s)
    return simulate_replicas(Scenario(zipf, length_s=seconds), options, happens, count=envoys, named=named)[0]


class Replicas:
    """Both, and their store; leaving them ends all."""

    def __init__(self, folder: Path, limit_per_s: int, envoys: int) -> None:
        self._folder = folder
        self._limit_per_s, self._envoys = limit_per_s, envoys
        self._stack = AsyncExitStack()
        self._environ: dict[str, str] = {}
        self.instances: list[Instance] = []

    @property
    def ports(self) -> list[int]:
        """Where they listen, through restarts."""
        return [instance.grpc_port for instance in self.instances]

    async def start(self) -> None:
        """Start all."""
        try:
            valkey, port = await start_valkey(self._folder)
            self._stack.push_async_callback(valkey.stop, 9)
            self._environ = {
                **environ_of(self._folder, self._limit_per_s, self._envoys),
                "BACKEND_TYPE": "redis",
                "REDIS_SOCKET_TYPE": "tcp",
                "REDIS_URL": f"{LOOPBACK}:{port}",
            }
            for number in range(REPLICAS):
                instance = await start_service(f"replica-{number}", self._folder, self._environ)
                self._stack.push_async_callback(instance.program.stop, 9)
                self.instances.append(instance)
        except BaseException:
            await self.stop()
            raise

    async def kill_and_restart(self, number: int) -> None:
        """Kill one, and start it on the same port."""
        before = self.instances[number]
        await before.program.stop(9)
        environ = {**self._environ, "GRPC_PORT": str(before.grpc_port)}
        self.instances[number] = await start_service(f"replica-{number}", self._folder, environ)
        self._stack.push_async_callback(self.instances[number].program.stop, 9)

    async def stop(self) -> None:
        """End everything."""
        await self._stack.aclose()
