"""Two replicas of the service on one Valkey, for Envoys on sockets; and the same in the simulation of tests/quota."""

from contextlib import AsyncExitStack
from pathlib import Path

from deploy.demo.processes import LOOPBACK, Instance, start_service, start_valkey
from deploy.demo.quota import NAME, configuration
from ratelimit.quota.options import LedgerOptions
from tests.quota.replicas import Replicas as SimulatedReplicas
from tests.quota.replicas import kill_one
from tests.quota.scenarios import Outcome, Scenario, measure, zipf
from tests.quota.world import World

REPLICAS = 2


def rates_of(envoys: int, limit_per_s: int) -> list[float]:
    """What each Envoy wants: the k-th 1/k of what the first does, all together half more than the limit."""
    return [float(rate) for rate in zipf(envoys, limit_per_s)(0.0)]


def simulate(envoys: int, limit_per_s: int, seconds: int, *, named: bool, kill_at_s: int | None) -> Outcome:
    """What the same ledgers do in the simulation, from its tenth second on; one replica dies, or none."""
    options = LedgerOptions(limit_per_s, envoys_expected=envoys)
    replicas = SimulatedReplicas(envoys, options)
    world = World(envoys, replicas.ledgers[0], zipf(envoys, limit_per_s), 1)
    world.servers = list(replicas.of_each)
    world.keeps_names = named
    world.before_step = replicas.store.step
    events = [] if kill_at_s is None else [(float(kill_at_s), kill_one(replicas))]
    return measure(world, Scenario(zipf, lambda _n, _o: events, length_s=seconds), options)


class Replicas:
    """Both, and their store; leaving them ends all."""

    def __init__(self, folder: Path, limit_per_s: int, envoys: int) -> None:
        self._folder = folder
        self._configuration = configuration(limit_per_s, envoys)
        self._stack = AsyncExitStack()
        self._environ: dict[str, str] = {}
        self.instances: list[Instance] = []

    @property
    def ports(self) -> list[int]:
        """Where they listen, through restarts."""
        return [instance.grpc_port for instance in self.instances]

    async def start(self) -> None:
        """Start all."""
        config = self._folder / "runtime" / "config"
        config.mkdir(parents=True)
        (config / "config.yaml").write_text(self._configuration)
        try:
            valkey, port = await start_valkey(self._folder)
            self._stack.push_async_callback(valkey.stop, 9)
            self._environ = {
                "RUNTIME_ROOT": str(self._folder / "runtime"),
                "BACKEND_TYPE": "redis",
                "REDIS_SOCKET_TYPE": "tcp",
                "REDIS_URL": f"{LOOPBACK}:{port}",
                "RLQS_ENVOY_METADATA": NAME,
                "DRAIN_DELAY": "0",
                "DRAIN_GRACE": "1s",
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
