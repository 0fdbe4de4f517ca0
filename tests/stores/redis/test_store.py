import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from deploy.demo.processes import LOOPBACK, Process, free_port, start, start_valkey, until
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.metrics import StoreStats
from ratelimit.settings import RedisSettings
from ratelimit.stores.redis.store import RedisStore
from ratelimit.stores.redis.topology import Single
from tests.limiter.plans import NOW, hit
from tests.stores.contract import DEADLINE_S, Poison, PoisonContract, StoreContract, Ttl, count

HIT = hit(b"k")


class Store:
    """A store and the events of its connection."""

    def __init__(self, port: int, prefix: str = "", **settings: object) -> None:
        given = {"redis_socket_type": "tcp", "redis_url": f"{LOOPBACK}:{port}", "redis_timeout": 2.0, **settings}
        self.states: asyncio.Queue[bool] = asyncio.Queue()
        self.stats = StoreStats()
        self.store = RedisStore(RedisSettings.model_validate(given).place, self.stats, self.states.put_nowait, prefix)

    async def connected(self, state: bool = True) -> None:
        """Wait for the next change of the connection, which must be to `state`."""
        assert await asyncio.wait_for(self.states.get(), 30) is state


@pytest_asyncio.fixture
async def held(valkey_port: int) -> AsyncIterator[Store]:
    """A connected store on a fresh Valkey."""
    held = Store(valkey_port, redis_startup_initial_interval=0.05)
    await held.store.start()
    await held.connected()
    yield held
    await held.store.close()


@pytest.fixture
def ttl(server_port: int) -> Ttl:
    """Reads a key's expiry through an independent client."""

    async def left(key: bytes) -> float | None:
        async with redis.asyncio.Redis(port=server_port) as client:
            seconds = await client.ttl(key)
        return None if seconds == -2 else float(seconds)

    return left


@pytest.fixture
def poison(server_port: int) -> Poison:
    """Makes a key one of another type."""

    async def make(name: bytes) -> None:
        async with redis.asyncio.Redis(port=server_port) as client:
            await client.lpush(name, "text")

    return make


async def start_redis(folder: Path, *options: str) -> tuple[Process, int]:
    """Debian's redis-server, where it is installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    program = await start("redis", [binary, "--port", str(port), "--bind", LOOPBACK, "--save", "", *options], folder)

    async def accepts() -> bool:
        try:
            async with redis.asyncio.Redis(port=port) as client:
                return bool(await client.ping())
        except redis.exceptions.ConnectionError:
            return False

    await until(program, accepts, "accepting")
    return program, port


class _OnServer(StoreContract, PoisonContract):
    @pytest_asyncio.fixture
    async def store(self, server_port: int) -> AsyncIterator[RedisStore]:
        held = Store(server_port)
        await held.store.start()
        await held.connected()
        yield held.store
        await held.store.close()


class TestValkey(_OnServer):
    """The contract on a real Valkey."""

    @pytest.fixture
    def server_port(self, valkey_port: int) -> int:
        return valkey_port


class TestRedis(_OnServer):
    """The contract on a real Redis."""

    @pytest_asyncio.fixture
    async def server_port(self, tmp_path: Path) -> AsyncIterator[int]:
        program, port = await start_redis(tmp_path)
        yield port
        await program.stop()


async def test_a_flushed_script_is_sent_again(held: Store, valkey_port: int) -> None:
    """NOSCRIPT answers before anything ran, so that batch goes out again and counts once."""
    async with redis.asyncio.Redis(port=valkey_port) as client:
        for expected in (1, 2, 3):
            await client.script_flush()
            assert await count(held.store, HIT) == [expected]


async def ask(held: Store, timeout_s: float = DEADLINE_S) -> list[int]:
    """Count HIT within a deadline. Raises StoreError."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Results] = loop.create_future()
    held.store.count(Batch([HIT], NOW, loop.time() + timeout_s), ended.set_result)
    (result,) = await ended
    if isinstance(result, StoreError):
        raise result
    return [result.count]


async def test_a_stopped_server_fails_fast_and_never_shifts_answers(tmp_path: Path) -> None:
    """Answers come within the deadline; late replies are swallowed, and counts still belong to their keys."""
    program, port = await start_valkey(tmp_path)
    held = Store(port)
    await held.store.start()
    await held.connected()
    program.process.send_signal(signal.SIGSTOP)
    with pytest.raises(StoreError, match="did not answer in time") as caught:
        await ask(held, 0.1)
    assert caught.value.outcome_unknown
    program.process.send_signal(signal.SIGCONT)
    assert await count(held.store, hit(b"other", 7)) == [7]
    assert await count(held.store, hit(b"k", 0)) == [1]
    assert (held.stats.timeouts, held.stats.unknown_outcomes) == (1, 1)
    await held.store.close()
    await program.stop()


async def test_a_killed_server_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    """The loss fails what waits, then every batch at once; a new server is used without help."""
    program, port = await start_valkey(tmp_path)
    held = Store(port, redis_startup_initial_interval=0.05)
    await held.store.start()
    await held.connected()
    await program.stop(signal.SIGKILL)
    await held.connected(False)
    with pytest.raises(StoreError, match="the store is away") as caught:
        await count(held.store, HIT)
    assert not caught.value.outcome_unknown
    program, _ = await start_valkey(tmp_path, port)
    await held.connected()
    assert await count(held.store, HIT) == [1]
    assert (held.stats.cx_total, held.stats.cx_active, held.store.connected) == (2, 1, True)
    await held.store.close()
    await program.stop()


async def test_it_starts_without_a_server(tmp_path: Path) -> None:
    """An absent store is no reason to end: it is used when it comes."""
    port = free_port()
    held = Store(port, redis_startup_initial_interval=0.02, redis_startup_max_interval=0.05)
    await held.store.start()
    with pytest.raises(StoreError, match="the store is away"):
        await count(held.store, HIT)
    program, _ = await start_valkey(tmp_path, port)
    await held.connected()
    assert await count(held.store, HIT) == [1]
    await held.store.close()
    await program.stop()


async def test_it_gives_up_when_told_to() -> None:
    """REDIS_STARTUP_MAX_ELAPSED_TIME ends the wait for a first connection."""
    held = Store(free_port(), redis_startup_initial_interval=0.01, redis_startup_max_elapsed_time=0.02)
    await held.store.start()
    with pytest.raises(StoreError, match="cannot connect"):
        await asyncio.wait_for(held.store.gave_up, 30)
    await held.store.close()


async def test_a_password_is_sent(tmp_path: Path) -> None:
    """REDIS_AUTH is a password, or user:password."""
    program, port = await start_valkey(
        tmp_path, None, "--requirepass", "secret", "--user", "app", "on", ">pass", "~*", "+@all"
    )
    for auth in ("secret", "app:pass"):
        held = Store(port, redis_auth=auth)
        await held.store.start()
        await held.connected()
        assert len(await count(held.store, HIT)) == 1
        await held.store.close()
    await program.stop()


async def test_a_replica_is_left(held: Store, valkey_port: int) -> None:
    """READONLY means a failover happened: the connection is dropped and the address resolved anew."""
    async with redis.asyncio.Redis(port=valkey_port) as client:
        await client.replicaof(LOOPBACK, str(free_port()))
        with pytest.raises(StoreError, match="READONLY"):
            await ask(held, 0.2)
        await held.connected(False)
        await client.replicaof("NO", "ONE")
    await held.connected()
    assert await count(held.store, HIT) == [1]


async def test_closing_fails_what_waits(held: Store) -> None:
    """Nobody waits for a store that is gone."""
    answers = list[Results]()
    held.store.count(Batch([HIT], NOW, asyncio.get_running_loop().time() + 9), answers.append)
    await held.store.close()
    assert "lost the connection" in str(answers[0][0])


async def test_a_second_try_has_the_first_deadline(tmp_path: Path) -> None:
    """NOSCRIPT costs a round trip and no more time than the batch had."""
    program, port = await start_valkey(tmp_path)
    held = Store(port)
    await held.store.start()
    await held.connected()
    sent: list[float] = []
    assert isinstance(held.store.topology, Single)
    pipeline = held.store.topology.node.pipeline
    assert pipeline is not None
    send = pipeline.send

    def record(command: Sequence[Any], deadline: float, reply: Callable[[Any], None]) -> None:
        sent.append(deadline)
        send(command, deadline, reply)

    pipeline.send = record  # type: ignore[method-assign]
    async with redis.asyncio.Redis(port=port) as client:
        await client.script_flush()
    assert await ask(held) == [1]
    assert len(sent) == 2
    assert sent[0] == sent[1]
    await held.store.close()
    await program.stop()
