"""A state machine over the stores: whatever happens in whatever order, they say what a dictionary says."""

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
from ratelimit.limiter.counter_store import Hit
from ratelimit.stores.memory import MemoryStore
from tests.exactness.stores import PATIENT_S, Held, redis_store
from tests.faults import FaultProxy
from tests.limiter.plans import NOW, key
from tests.stores.contract import count

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
        self.now = NOW
        self.model: dict[bytes, int] = {}
        self.memory = MemoryStore()
        self.run(self._clear())

    async def _clear(self) -> None:
        async with redis.asyncio.Redis(port=self.port) as client:
            await client.flushdb()

    def _agree(self, name: bytes, amount: int) -> None:
        base = key(name, unit=Unit.MINUTE, now=self.now)
        counter = key(b"%b:%d" % (name, base.window_start), expire_s=600, unit=Unit.MINUTE, now=self.now)
        after = max(0, self.model.get(counter.name, 0) + amount)
        if amount > 0 or counter.name in self.model:
            self.model[counter.name] = after
        asked = Hit(counter, amount, LIMIT)
        for store in (self.memory, self.held.store):
            assert self.run(count(store, asked, now=self.now)) == [after]

    @rule(name=NAMES, amount=st.integers(1, 7))
    def hit(self, name: bytes, amount: int) -> None:
        """Hits add up."""
        self._agree(name, amount)

    @rule(name=NAMES)
    def look(self, name: bytes) -> None:
        """A look changes nothing."""
        self._agree(name, 0)

    @rule(name=NAMES, amount=st.integers(1, 9))
    def refund(self, name: bytes, amount: int) -> None:
        """A refund takes back what there is."""
        self._agree(name, -amount)

    @rule(seconds=st.integers(1, 90))
    def advance_the_clock(self, seconds: int) -> None:
        """Windows end."""
        self.now += seconds

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


def test_memory_and_valkey_say_what_a_dictionary_says(runner: asyncio.Runner, tmp_path: Path) -> None:
    """Hits, looks, refunds, windows that end, scripts flushed, connections lost: the counts are the same."""

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
