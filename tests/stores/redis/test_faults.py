"""The Redis store on a connection that breaks: always acknowledged <= stored <= acknowledged + unknown."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio
import structlog

from deploy.demo.processes import LOOPBACK, free_port, start_valkey
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Batch, Results
from tests.faults import FaultProxy
from tests.limiter.plans import NOW, hit
from tests.stores.contract import count
from tests.stores.redis.test_store import Store, ask

PATIENT_S = 20.0


@dataclass(slots=True)
class Ledger:
    """What callers were told about hits on one counter, to compare with what the server holds."""

    held: Store
    proxy: FaultProxy
    server_port: int
    acknowledged: int = 0
    unknown: int = 0
    answers: list[int] = field(default_factory=list)

    def charge(self, amounts: list[int], timeout_s: float = PATIENT_S) -> asyncio.Future[Results]:
        """Send a batch; `answers` counts how often it was answered."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Results] = loop.create_future()
        place = len(self.answers)
        self.answers.append(0)

        def done(results: Results) -> None:
            self.answers[place] += 1
            for amount, result in zip(amounts, results, strict=True):
                if not isinstance(result, StoreError):
                    self.acknowledged += amount
                elif result.outcome_unknown:
                    self.unknown += amount
            if not ended.done():
                ended.set_result(results)

        self.held.store.count(Batch([hit(b"k", amount) for amount in amounts], NOW, loop.time() + timeout_s), done)
        return ended

    async def stored(self) -> int:
        """The count that the server holds, past the proxy; asserts the bracket."""
        async with redis.asyncio.Redis(port=self.server_port) as client:
            stored = int(await client.get("k") or 0)
        assert self.acknowledged <= stored <= self.acknowledged + self.unknown
        return stored


@pytest_asyncio.fixture
async def ledger(valkey_port: int) -> AsyncIterator[Ledger]:
    """A store that is ready, behind a proxy that does nothing yet."""
    async with FaultProxy(valkey_port) as proxy:
        held = Store(proxy.port, redis_startup_initial_interval=0.02, redis_timeout=0.2)
        await held.store.start()
        await held.connected()
        yield Ledger(held, proxy, valkey_port)
        await held.store.close()


async def test_swallowed_replies_are_unknown_and_never_sent_again(ledger: Ledger) -> None:
    """The server counted, nobody heard: the caller has an error, and the counter each hit once."""
    await ledger.charge([2])
    ledger.proxy.replies.swallow = True
    (lost,) = await ledger.charge([5], 0.1)
    assert isinstance(lost, StoreError)
    assert lost.outcome_unknown
    await ledger.held.connected(False)
    ledger.proxy.replies.swallow = False
    await ledger.held.connected()
    await ledger.charge([1])
    assert await ledger.stored() == 2 + 5 + 1
    assert (ledger.acknowledged, ledger.unknown, ledger.held.stats.unknown_outcomes) == (3, 5, 5)
    assert ledger.proxy.accepted == 2


@pytest.mark.parametrize("size", [1, 40, 333])
@pytest.mark.parametrize("way", ["requests", "replies"])
async def test_a_reset_within_a_batch_answers_every_caller_once(ledger: Ledger, way: str, size: int) -> None:
    """Those before the cut are counted, the others unknown, and nobody waits or is told twice."""
    getattr(ledger.proxy, way).cut_after(size)
    ended = [ledger.charge([1] * 50) for _ in range(10)]
    async with asyncio.timeout(PATIENT_S):
        await asyncio.gather(*ended)
        await ledger.held.connected(False)
        await ledger.held.connected()
        await ledger.charge([1] * 50)
    assert ledger.answers == [1] * 11
    assert ledger.unknown == ledger.held.stats.unknown_outcomes > 0
    assert ledger.acknowledged + ledger.unknown == 11 * 50
    await ledger.stored()


async def test_a_half_closed_connection_is_left(ledger: Ledger) -> None:
    """A server that will write no more cannot acknowledge: what waits is unknown, and a new connection is opened."""
    await ledger.charge([2])
    ledger.proxy.replies.stall()
    heard = ledger.proxy.replies.bytes_seen
    waiting = ledger.charge([3])
    await ledger.proxy.replies.seen(heard + 1)
    ledger.proxy.half_close()
    (lost,) = await asyncio.wait_for(waiting, PATIENT_S)
    assert isinstance(lost, StoreError)
    await ledger.held.connected(False)
    ledger.proxy.replies.flow()
    await ledger.held.connected()
    await ledger.charge([1])
    assert await ledger.stored() == 2 + 3 + 1
    assert (ledger.acknowledged, ledger.unknown, ledger.proxy.accepted) == (3, 3, 2)


async def test_the_breaker_opens_and_closes(tmp_path: Path) -> None:
    """SIGSTOP: after five timeouts every batch fails at once; SIGCONT: the next probe closes it, counts are right."""
    program, port = await start_valkey(tmp_path)
    held = Store(port, redis_timeout=0.3)
    await held.store.start()
    await held.connected()
    with structlog.testing.capture_logs() as logs:
        program.process.send_signal(signal.SIGSTOP)
        late = await asyncio.gather(*(ask(held, 0.05) for _ in range(5)), return_exceptions=True)
        assert ["in time" in str(each) for each in late] == [True] * 5
        await held.connected(False)
        told = list[Results]()
        held.store.count(Batch([hit(b"k")], NOW, asyncio.get_running_loop().time() + 9), told.append)
        assert "breaker open" in str(told[0][0])
        assert (held.stats.breaker_open, held.stats.breaker_opened, held.stats.cx_active) == (1, 1, 1)
        program.process.send_signal(signal.SIGCONT)
        await held.connected()
    assert [each["event"] for each in logs] == ["the store's breaker is open", "the store's breaker is closed"]
    assert await count(held.store, hit(b"k", 0)) == [5]
    assert (held.stats.breaker_open, held.stats.unknown_outcomes) == (0, 5)
    await held.store.close()
    await program.stop()


@pytest.mark.one_loop
async def test_a_silent_server_is_left_and_its_breaker_closed_by_the_next_connection(ledger: Ledger) -> None:
    """Probes that nobody answers end with the connection; to connect is a probe too."""
    ledger.proxy.replies.swallow = True
    await asyncio.gather(*(ledger.charge([1], 0.05) for _ in range(6)))
    await ledger.held.connected(False)
    while ledger.held.stats.cx_active:  # noqa: ASYNC110 - bounded by the silence that a connection may have
        await asyncio.sleep(0.01)
    assert ledger.held.stats.breaker_open == 1
    ledger.proxy.replies.swallow = False
    await ledger.held.connected()
    assert ledger.held.stats.breaker_open == 0
    assert await ledger.stored() == 6


async def test_what_a_replica_refused_is_sent_once_more(valkey_port: int) -> None:
    """READONLY provably counted nothing: when the server takes hits again in time, they are counted, once."""
    held = Store(valkey_port, redis_startup_initial_interval=0.02)
    await held.store.start()
    await held.connected()
    async with redis.asyncio.Redis(port=valkey_port) as client:
        await client.replicaof(LOOPBACK, str(free_port()))
        waiting = [asyncio.ensure_future(count(held.store, hit(b"k"))) for _ in range(10)]
        await held.connected(False)
        await client.replicaof("NO", "ONE")
        assert sorted(await asyncio.gather(*waiting)) == [[n] for n in range(1, 11)]
    assert held.stats.unknown_outcomes == 0
    await held.store.close()
