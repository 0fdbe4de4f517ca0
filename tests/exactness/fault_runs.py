"""Randomised fault runs: a store behind a proxy that does to its connection what networks do, by a seed.

After each run, for every counter: acknowledged <= stored <= acknowledged + unknown, never more admitted than the limit,
and the counts that were told are the history of one counter. The seed gives what is done and in which order; how the
bytes fall in time is the machine's.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import redis.asyncio

from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Batch, Hit, Results
from tests.exactness import history
from tests.exactness.stores import PATIENT_S, Held, redis_store
from tests.faults import FaultProxy
from tests.limiter.plans import NOW, hit

TIMEOUT_S = 0.1
COUNTERS = 3
AT_ONCE = 8


@dataclass(slots=True)
class Told:
    """What callers were told about one counter."""

    acknowledged: int = 0
    unknown: int = 0
    admitted: int = 0
    operations: list[history.Operation] = field(default_factory=list)


class FaultRun:
    """One run: `seed` gives its steps; `server` is the process id to stop and continue, 0 for none."""

    def __init__(self, seed: int, port: int, server: int = 0) -> None:
        self.seed = seed
        self._chance = random.Random(seed)
        self._port = port
        self._server = server
        self._names = [b"run:%d:%d" % (seed, number) for number in range(COUNTERS)]
        self._limits = {name: self._chance.choice((1, 20, 150, 10_000)) for name in self._names}
        self._told = {name: Told() for name in self._names}
        self._open: set[asyncio.Future[None]] = set()

    @property
    def told(self) -> list[Told]:
        """What callers were told, counter by counter."""
        return list(self._told.values())

    async def run(self) -> list[str]:
        """All steps, and what was wrong in the end."""
        async with FaultProxy(self._port) as proxy, redis_store(proxy.port, TIMEOUT_S) as held:
            for _ in range(self._chance.randint(2, 5)):
                self._send(held)
                await self._fault(proxy)
                self._send(held)
                await asyncio.sleep(self._chance.choice((0, 0, 0.005, 0.05)))
                await self._mend(proxy, held)
            async with asyncio.timeout(PATIENT_S):
                await asyncio.gather(*self._open)
            return [f"seed {self.seed}: {fault}" for fault in await self._faults(held)]

    def _send(self, held: Held) -> None:
        """A few batches, which wait for each other's answers as little as those of a service."""
        loop = asyncio.get_running_loop()
        for _ in range(self._chance.randint(1, 4)):
            names = self._chance.choices(self._names, k=self._chance.randint(1, 20))
            hits = [hit(name, self._chance.randint(1, 3), limit=self._limits[name]) for name in names]
            ended, began = loop.create_future(), loop.time()
            self._open.add(ended)

            def done(
                results: Results, hits: Sequence[Hit] = hits, ended: "asyncio.Future[None]" = ended, at: float = began
            ) -> None:
                self._hear(hits, results, at, loop.time())
                ended.set_result(None)  # raises where a batch is answered twice

            held.store.count(Batch(hits, NOW, began + TIMEOUT_S), done)

    def _hear(self, hits: Sequence[Hit], results: Results, began: float, ended: float) -> None:
        for each, result in zip(hits, results, strict=True):
            told = self._told[each.key.name]
            if not isinstance(result, StoreError):
                told.acknowledged += each.amount
                told.admitted += each.amount * result.allowed
                told.operations.append(history.Operation(began, ended, result.count, each.amount))
            elif result.outcome_unknown:
                told.unknown += each.amount

    async def _fault(self, proxy: FaultProxy) -> None:
        faults: list[Callable[[FaultProxy], Awaitable[None]]] = [
            self._delay, self._swallow, self._cut, self._stall, self._half_close, self._reset, self._refuse,
            self._flush, self._nothing,
        ]  # fmt: skip
        if self._server:
            faults.append(self._freeze)
        await self._chance.choice(faults)(proxy)

    async def _mend(self, proxy: FaultProxy, held: Held) -> None:
        """Everything as it was, on a connection that nothing was done to."""
        for way in (proxy.requests, proxy.replies):
            way.delay_s, way.swallow = 0.0, False
            way.leave_whole()
            way.flow()
        await proxy.refuse()
        await proxy.reset()
        async with asyncio.timeout(PATIENT_S):
            while held.store.connected:  # noqa: ASYNC110 - the loss is told by the socket, within a turn or two
                await asyncio.sleep(0.001)
        proxy.accept()
        await held.until_ready()

    async def _nothing(self, proxy: FaultProxy) -> None:
        """A run without a fault is one of them."""

    async def _delay(self, proxy: FaultProxy) -> None:
        proxy.requests.delay_s, proxy.replies.delay_s = self._chance.choices((0.0, 0.002, 0.06, 0.12), k=2)

    async def _swallow(self, proxy: FaultProxy) -> None:
        self._chance.choice((proxy.requests, proxy.replies)).swallow = True

    async def _cut(self, proxy: FaultProxy) -> None:
        self._chance.choice((proxy.requests, proxy.replies)).cut_after(self._chance.randint(1, 2000))

    async def _stall(self, proxy: FaultProxy) -> None:
        self._chance.choice((proxy.requests, proxy.replies)).stall()

    async def _half_close(self, proxy: FaultProxy) -> None:
        with suppress(OSError):  # a connection that is gone already
            proxy.half_close()

    async def _reset(self, proxy: FaultProxy) -> None:
        await proxy.reset()

    async def _refuse(self, proxy: FaultProxy) -> None:
        await proxy.refuse()
        await proxy.reset()

    async def _flush(self, proxy: FaultProxy) -> None:
        async with redis.asyncio.Redis(port=self._port) as client:
            await client.script_flush()

    async def _freeze(self, proxy: FaultProxy) -> None:
        """SIGSTOP for longer than the deadline."""
        os.kill(self._server, signal.SIGSTOP)
        await asyncio.sleep(self._chance.choice((0.01, 0.15)))
        os.kill(self._server, signal.SIGCONT)

    async def _faults(self, held: Held) -> list[str]:
        async with redis.asyncio.Redis(port=self._port) as client:
            stored = [int(each or 0) for each in await client.mget(self._names)]
            lasting = [name for name in self._names if await client.ttl(name) == -1]
        found = [f"{name.decode()} has no TTL" for name in lasting]
        for name, count in zip(self._names, stored, strict=True):
            found += [f"{name.decode()}: {fault}" for fault in broken(self._told[name], count, self._limits[name])]
        unknown = sum(told.unknown for told in self._told.values())
        if held.stats.unknown_outcomes != unknown:
            found.append(f"{unknown} unknown outcomes, {held.stats.unknown_outcomes} in the metrics")
        return found


def broken(told: Told, stored: int, limit: int) -> list[str]:
    """The bounds that do not hold for one counter."""
    found = history.faults(told.operations, unknown=told.unknown)
    if not told.acknowledged <= stored <= told.acknowledged + told.unknown:
        found.append(f"{told.acknowledged} acknowledged, {told.unknown} unknown, but {stored} stored")
    if told.admitted > limit:
        found.append(f"{told.admitted} admitted, the limit is {limit}")
    return found


async def fault_runs(seeds: Sequence[int], port: int, server: int = 0) -> tuple[Counter[str], list[str]]:
    """Many runs, a few at a time; how much came of them, and everything that was wrong."""
    totals, found, free = Counter[str](), list[str](), asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> None:
        async with free:
            run = FaultRun(seed, port, server)
            found.extend(await run.run())
            for told in run.told:
                totals.update(acknowledged=told.acknowledged, unknown=told.unknown)
            totals["runs"] += 1

    async with asyncio.TaskGroup() as group:
        for seed in seeds:
            group.create_task(one(seed))
    return totals, found
