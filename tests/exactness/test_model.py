"""A state machine over the stores: whatever happens in whatever order, they say what a model says.

The model of the fixed window is a dictionary of numbers, that of the other algorithms their pure functions over a
dictionary of what they hold.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from deploy.demo.processes import start_valkey
from ratelimit.descriptors.limit import Unit
from ratelimit.limiter.algorithm import FIXED_WINDOW, GCRA, SLIDING_WINDOW, Algorithm, Counted
from ratelimit.limiter.counter_store import Hit
from ratelimit.stores.algorithms import COUNTING, State
from ratelimit.stores.memory import MemoryStore
from tests.exactness.stores import PATIENT_S, Held, redis_store
from tests.faults import FaultProxy
from tests.limiter.plans import NOW, key, moment
from tests.stores.contract import results

Asked = tuple[Algorithm, bytes, int]
ALGORITHMS = st.sampled_from([FIXED_WINDOW, SLIDING_WINDOW, GCRA])
NAMES = st.sampled_from([b"a", b"b", b"c"])
LIMIT = 10
# Reconnecting takes most of the time.
EXAMPLES = int(os.environ.get("RATELIMIT_MODEL_EXAMPLES", "6"))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """A loop that stands still between the steps of a machine."""
    with asyncio.Runner() as runner:
        yield runner


class _Machine(RuleBasedStateMachine):
    """Memory and Valkey side by side; the second one behind a proxy, so that it can lose its connection."""

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    port: int
    held: Held
    proxy: FaultProxy

    @initialize()
    def begin(self) -> None:
        """Empty stores at the same moment."""
        self.at_ms = NOW * 1000
        self._begin_empty()

    def _begin_empty(self) -> None:
        self.counts: dict[bytes, int] = {}
        self.states: dict[bytes, State] = {}
        self.memory = MemoryStore()
        self.run(self._clear())

    async def _clear(self) -> None:
        async with redis.asyncio.Redis(port=self.port) as client:
            await client.flushall()

    def _agree(self, *asked: Asked) -> None:
        """Count one batch everywhere."""
        hits = [self._hit(*each) for each in asked]
        expected = [self._expected(hit) for hit in hits]
        for store in (self.memory, self.held.store):
            assert self.run(results(store, hits, self.at_ms // 1000)) == expected

    def _hit(self, algorithm: Algorithm, name: bytes, amount: int) -> Hit:
        if algorithm is not FIXED_WINDOW:
            # In real time nothing of an hour ends while a machine runs: it is the moments that say what is over.
            own = name + algorithm.tag.encode()
            return moment(algorithm, self.at_ms, amount, limit=LIMIT, unit=Unit.HOUR, name=own)
        now = self.at_ms // 1000
        start = key(name, unit=Unit.MINUTE, now=now).window_start
        return Hit(key(b"%b:%d" % (name, start), expire_s=600, unit=Unit.MINUTE, now=now), amount, LIMIT)

    def _expected(self, hit: Hit) -> Counted:
        name, algorithm = hit.key.name, hit.key.algorithm
        if algorithm is not FIXED_WINDOW:
            result, state, _ = COUNTING[algorithm](self.states.get(name), hit)
            if state is not None:
                self.states[name] = state
            return result
        after = max(0, self.counts.get(name, 0) + hit.amount)
        if hit.amount > 0 or name in self.counts:
            self.counts[name] = after
        return algorithm.judge(after, hit.limit, hit.key.reset_s(self.at_ms // 1000))

    @rule(algorithm=ALGORITHMS, name=NAMES, amount=st.integers(1, 7))
    def hit(self, algorithm: Algorithm, name: bytes, amount: int) -> None:
        """Hits add up, as far as their algorithm lets them."""
        self._agree((algorithm, name, amount))

    @rule(algorithm=ALGORITHMS, name=NAMES)
    def look(self, algorithm: Algorithm, name: bytes) -> None:
        """A look changes nothing."""
        self._agree((algorithm, name, 0))

    @rule(algorithm=ALGORITHMS, name=NAMES, amount=st.integers(1, 9))
    def refund(self, algorithm: Algorithm, name: bytes, amount: int) -> None:
        """A refund takes back what there is."""
        self._agree((algorithm, name, -amount))

    @rule(asked=st.lists(st.tuples(ALGORITHMS, NAMES, st.integers(-5, 7)), min_size=2, max_size=6))
    def several(self, asked: list[Asked]) -> None:
        """A batch counts as its hits would one by one."""
        self._agree(*asked)

    @rule(gap_ms=st.one_of(st.integers(1, 90_000), st.integers(500_000, 8_000_000)))
    def advance_the_clock(self, gap_ms: int) -> None:
        """Windows end, levels drain."""
        self.at_ms += gap_ms

    @rule()
    def flush_all(self) -> None:
        """The servers lose every counter, and nothing else."""
        self._begin_empty()

    @rule()
    def flush_scripts(self) -> None:
        """The server forgets the scripts."""

        async def flush() -> None:
            async with redis.asyncio.Redis(port=self.port) as client:
                await client.script_flush()

        self.run(flush())

    @rule()
    def reconnect(self) -> None:
        """The connection breaks and comes again."""

        async def reconnected() -> None:
            await self.proxy.reset()
            async with asyncio.timeout(PATIENT_S):
                while self.held.store.connected:  # noqa: ASYNC110 - the loss is told by the socket
                    await asyncio.sleep(0.001)
            await self.held.until_ready()

        self.run(reconnected())


def test_memory_and_valkey_say_what_the_model_says(runner: asyncio.Runner, tmp_path: Path) -> None:
    """Hits, looks, refunds, time that passes, scripts and counters flushed, connections lost: the results are its."""

    async def close() -> None:
        await held_context.__aexit__(None, None, None)
        await proxy.__aexit__(None, None, None)
        await program.stop()

    program, port = runner.run(start_valkey(tmp_path))
    proxy = runner.run(FaultProxy(port).__aenter__())
    held_context = redis_store(proxy.port, 5.0)
    held = runner.run(held_context.__aenter__())

    class Machine(_Machine):
        """Bound to what was started."""

    Machine.run, Machine.port, Machine.held, Machine.proxy = staticmethod(runner.run), port, held, proxy
    quick = settings(
        max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    try:
        run_state_machine_as_test(Machine, settings=quick)
    finally:
        runner.run(close())
