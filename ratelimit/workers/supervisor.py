"""The supervisor: keeps N workers running, hands configurations to all of them, and is one service to whoever looks.

It answers no calls: the kernel spreads connections over the workers, which share a port. What app.py has in the
supervisor's process (source, pages, statsd, signals) sees it as it sees a single `Worker`.

A configuration is put in force in all workers at once: it is handed to each in pieces, and when all who take calls
have the whole, all are told to swap. One that is slower than HANDING_ON_S_MAX follows when it has it.
"""

import asyncio
from itertools import count
from typing import Any

import structlog

from ratelimit.descriptors.tree import Config
from ratelimit.errors import GrpcStatus, RpcError, StoreError
from ratelimit.lifetime import end_tasks, first
from ratelimit.metrics import Metrics, WorkerStats
from ratelimit.settings import Settings
from ratelimit.workers.child import COMMAND, Child, Spare
from ratelimit.workers.rounds import Rounds
from ratelimit.workers.shared_port import SharedPort
from ratelimit.workers.worker_process import WorkerProcess

HANDING_ON_S_MAX = 10.0
# What a worker may need for its end beyond the waits that the settings give it: it closes its parts, one by one.
END_S_MAX = 25.0
# A second signal, or the end of a start: what is answered already still goes out.
HURRY_S_MAX = 5.0
# Requests of /json that wait for an answer: 64 KiB each, and a third more on the pipe.
ASKED_MAX = 200

_log = structlog.get_logger("ratelimit")


class Supervisor:
    """As many workers as it is told to keep. Made inside the running event loop; adds what they count to `metrics`."""

    def __init__(self, settings: Settings, metrics: Metrics, workers: int, command: tuple[str, ...] = COMMAND) -> None:
        self._settings = settings
        self._metrics = metrics
        self._stats = metrics.workers = WorkerStats()
        self._count = workers
        self.config: Config | None = None
        self._generation = 0
        # The generation that every worker is to have in force, as soon as it has received it.
        self._in_force = 0
        self._told_in_force = 0
        self._processes: dict[int, WorkerProcess] = {}
        self._command = command
        self._spare = Spare(command)
        self._keepers: list[asyncio.Task[None]] = []
        self._port: SharedPort | None = None
        self._ending = asyncio.Event()
        self._how_to_end = ""
        self._rounds = {number: Rounds() for number in range(1, workers + 1)}
        # Workers that have neither taken calls nor ended since the start.
        self._awaited = set(range(1, workers + 1))
        self._started = asyncio.Event()
        self._cannot_start = ""
        self._was_healthy = False
        self._gave_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._late: asyncio.TimerHandle | None = None
        self._turns = count()
        self._watching = False
        self._asked = 0

    @property
    def grpc_port(self) -> int:
        """The port that the workers share; 0 before the start."""
        return self._port.port if self._port else 0

    @property
    def healthy(self) -> bool:
        """Whether calls are welcome: to one worker at least."""
        return not self._ending.is_set() and any(process.healthy for process in self._processes.values())

    @property
    def worker_states(self) -> list[dict[str, Any]]:
        """What each worker said of itself last, for the page."""
        return [
            {"worker": number, "serving": each.serving, "healthy": each.healthy, "generation": each.in_force}
            for number, each in sorted(self._processes.items())
        ]

    def watch_keys(self, *, on: bool) -> None:
        """Let every worker note which keys are hit, or no more."""
        self._watching = on
        self._look()

    def key_rates(self) -> list[dict[str, Any]]:
        """What each worker noted last."""
        return [each.key_rates for each in self._processes.values() if each.key_rates is not None]

    async def start(self) -> None:
        """Start all, and wait until each takes calls or has ended. Raises OSError where all say that they cannot."""
        self._port = SharedPort(self._settings.server)
        self._keepers = [asyncio.ensure_future(self._keep(number)) for number in sorted(self._awaited)]
        await self._started.wait()
        if self._cannot_start and not self._stats.alive:
            raise OSError(self._cannot_start)
        self._spare.start()

    def swap(self, config: Config) -> None:
        """Hand a configuration to every worker, and put it in force in all of them at once."""
        self.config = config
        self._generation += 1
        self._metrics.configuration_loaded(config.limits)
        for process in self._processes.values():
            process.feed(config, self._generation)
        self._stop_timer()
        self._late = asyncio.get_running_loop().call_later(HANDING_ON_S_MAX, self._wait_no_longer)
        self._look()

    async def ask(self, message: bytes, *, counted: bool = False) -> bytes:
        """Let a worker answer a request: each in its turn; `counted`: not without the store. Raises RpcError."""
        serving = [process for process in self._processes.values() if process.serving]
        if not serving:
            raise RpcError(GrpcStatus.UNAVAILABLE, "no worker takes calls")
        if self._asked >= ASKED_MAX:
            raise RpcError(GrpcStatus.UNAVAILABLE, f"{ASKED_MAX} requests wait for the workers")
        self._asked += 1
        try:
            return await serving[next(self._turns) % len(serving)].ask(message, counted=counted)
        finally:
            self._asked -= 1

    async def gave_up(self) -> None:
        """Wait for what ends the service: raises StoreError where no worker ever found its store in time."""
        await asyncio.shield(self._gave_up)

    async def drain(self, hurry: asyncio.Event) -> None:
        """Let every worker drain by itself, all at the same time; `hurry` ends their waits."""
        server = self._settings.server
        self._end("calmly")
        _log.info("draining", delay_s=server.drain_delay, grace_s=server.drain_grace, workers=len(self._processes))
        all_ended = asyncio.gather(*self._keepers, return_exceptions=True)
        await first(
            hurry.wait(), asyncio.wait((all_ended,), timeout=server.drain_delay + server.drain_grace + END_S_MAX)
        )

    async def close(self) -> None:
        """End what still runs: at once, and by force if it must be."""
        self._end("now")
        if self._keepers:
            await asyncio.wait(self._keepers, timeout=HURRY_S_MAX)
        await asyncio.gather(end_tasks(*self._keepers), self._spare.close(), return_exceptions=True)
        self._stop_timer()
        if self._port is not None:
            self._port.close()
        if self._gave_up.done():
            self._gave_up.exception()  # whoever waited has gone

    def _end(self, how: str) -> None:
        self._how_to_end = how
        self._ending.set()
        self._look()

    async def _keep(self, number: int) -> None:
        """Start one worker again and again, until the service ends."""
        time_s = asyncio.get_running_loop().time
        while not self._ending.is_set():
            began = time_s()
            try:
                reason = await self._one_life(number)
            except OSError as error:
                reason = f"it cannot be started: {error.strerror or error}"
            except Exception as error:  # noqa: BLE001 - whatever it was, the worker must be started again
                reason = f"the supervisor failed: {error!r}"
            self._awaited.discard(number)
            self._look()
            if self._ending.is_set():
                return
            wait_s, news = self._rounds[number].ended(reason, time_s() - began)
            if news:
                _log.error("a worker ended, and is started again", worker=number, reason=reason)
            await first(self._ending.wait(), asyncio.sleep(wait_s))
            self._stats.restarts += not self._ending.is_set()

    async def _one_life(self, number: int) -> str:
        child = self._spare.take() or await Child.start(self._command)
        process = self._processes[number] = WorkerProcess(number, child, self._metrics, self._look)
        if self.config is not None:
            process.feed(self.config, self._generation)
        try:
            return await process.run(self.grpc_port)
        finally:
            del self._processes[number]
            self._note_end(process)

    def _note_end(self, process: WorkerProcess) -> None:
        self._cannot_start = process.failed or self._cannot_start
        if process.gave_up and not self._was_healthy and not self._gave_up.done():
            self._gave_up.set_exception(StoreError(process.gave_up, transient=False))

    def _look(self) -> None:
        """Do what the states of the workers ask for. Called whenever one of them has changed."""
        processes = self._processes.values()
        self._stats.alive = sum(process.serving for process in processes)
        self._was_healthy |= any(process.healthy for process in processes)
        self._awaited -= {process.number for process in processes if process.serving}
        if not self._awaited:
            self._started.set()
        if all(process.whole == self._generation for process in processes if process.in_force):
            self._in_force = self._generation
        stage = min((process.stage for process in processes if process.serving), default=0)
        for process in processes:
            self._look_at(process)
            if process.told_stage < process.stage <= stage:
                process.let_go_on()
        if self._told_in_force != self._generation and {process.in_force for process in processes} == {
            self._generation
        }:
            self._told_in_force = self._generation
            _log.info("configuration in force in all workers", generation=self._generation, workers=len(processes))

    def _look_at(self, process: WorkerProcess) -> None:
        if process.serving and self._rounds[process.number].serves():
            _log.warning("a worker takes calls again", worker=process.number)
        if process.told_to_watch != self._watching:
            process.watch(on=self._watching)
        if process.told_to_end != self._how_to_end:
            process.end(self._how_to_end)
        if process.whole == self._in_force != process.told_to_swap:
            process.swap(self._in_force)
        if not process.told_to_serve and (process.told_to_swap or self.config is None):
            process.serve()

    def _wait_no_longer(self) -> None:
        self._in_force = self._generation
        self._look()

    def _stop_timer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
