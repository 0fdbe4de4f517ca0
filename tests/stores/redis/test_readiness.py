"""When a Redis store is ready, and what it says when that changes."""

import asyncio
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
import structlog

from deploy.demo.processes import LOOPBACK, free_port, start_valkey, until
from ratelimit.errors import StoreError
from ratelimit.stores import refusals
from tests.limiter.plans import hit
from tests.stores.contract import count
from tests.stores.redis.test_store import HIT, Store, ask, held

__all__ = ["held"]  # the fixture


async def test_a_script_that_cannot_run_is_not_ready(tmp_path: Path) -> None:
    """Connected is not ready: a user without the right to run scripts, and then with it."""
    program, port = await start_valkey(tmp_path, None, "--user", "app", "on", ">pass", "~*", "+@all", "-@scripting")
    held = Store(port, redis_auth="app:pass", redis_startup_initial_interval=0.02, redis_startup_max_interval=0.02)
    with structlog.testing.capture_logs() as logs:
        await held.store.start()
        async with redis.asyncio.Redis(port=port) as client:
            for _ in range(3):
                await until(program, lambda: _logged(logs, "the store is away"), "refused")
            assert held.states.empty()
            await client.acl_setuser("app", enabled=True, categories=["+@scripting"])
        await held.connected()
    assert await count(held.store, HIT) == [1]
    (away,) = [each for each in logs if each["event"] == "the store is away"]
    assert "NOPERM" in away["reason"]
    await held.store.close()
    await program.stop()


async def _logged(logs: Sequence[Mapping[str, Any]], event: str) -> bool:
    return any(each["event"] == event for each in logs)


async def test_a_replica_is_not_ready(tmp_path: Path, valkey_port: int) -> None:
    """It answers, and cannot count."""
    async with redis.asyncio.Redis(port=valkey_port) as client:
        await client.replicaof(LOOPBACK, str(free_port()))
        held = Store(valkey_port, redis_startup_initial_interval=0.02, redis_startup_max_interval=0.02)
        with structlog.testing.capture_logs() as logs:
            await held.store.start()
            async with asyncio.timeout(30):
                while not await _logged(logs, "the store is away"):  # noqa: ASYNC110 - a log line is no event
                    await asyncio.sleep(0.01)
        assert held.states.empty()
        assert "READONLY" in logs[0]["reason"]
        await client.replicaof("NO", "ONE")
    await held.connected()
    await held.store.close()


async def test_the_probe_is_ours_and_goes(valkey_port: int) -> None:
    """The key that readiness is seen on carries the prefix, which a user may be held to, and expires."""
    held = Store(valkey_port, "blue:")
    await held.store.start()
    await held.connected()
    async with redis.asyncio.Redis(port=valkey_port) as client:
        names = await client.keys("*")
        assert names in ([b"blue:{rl:ready}"], [])
        assert all([0 <= await client.ttl(name) <= 1 or not await client.exists(name) for name in names])
    await held.store.close()


async def test_a_change_of_state_is_one_line(tmp_path: Path) -> None:
    """Away and back are seen at the default level, once each; the first connection and the end are no news."""
    program, port = await start_valkey(tmp_path)
    held = Store(port, redis_startup_initial_interval=0.02)
    with structlog.testing.capture_logs() as logs:
        await held.store.start()
        await held.connected()
        await program.stop(signal.SIGKILL)
        await held.connected(False)
        program, _ = await start_valkey(tmp_path, port)
        await held.connected()
        await held.store.close()
    assert warnings(logs) == ["the store is away", "the store is back"]
    await program.stop()


def warnings(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is seen at the default level."""
    return [each["event"] for each in logs if each["log_level"] == "warning"]


async def test_a_refusal_is_told_when_it_begins_and_when_it_ends(
    held: Store, valkey_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without memory, twice: each time one line, and one when it counts again; a look tells nothing."""
    monkeypatch.setattr(refusals, "REFUSAL_OVER_S", 0)
    with structlog.testing.capture_logs() as logs:
        async with redis.asyncio.Redis(port=valkey_port) as client:
            for _ in range(2):
                await client.config_set("maxmemory", 1)
                for amount in (1, 1, 0):
                    await asyncio.gather(count(held.store, hit(b"k", amount)), return_exceptions=True)
                await client.config_set("maxmemory", 0)
                await count(held.store, HIT)
                await count(held.store, HIT)
    begins, ends = "hits cannot be counted; more of the same are only counted", "hits are counted again"
    assert warnings(logs) == [begins, ends] * 2


async def test_a_key_that_is_refused_is_no_state_of_the_store(
    held: Store, valkey_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line for the kind, and none for each time that another key is counted in between."""
    monkeypatch.setattr(refusals, "REFUSAL_OVER_S", 0)
    with structlog.testing.capture_logs() as logs:
        async with redis.asyncio.Redis(port=valkey_port) as client:
            await client.lpush(HIT.key.name.decode(), "x")
            for _ in range(2):
                await asyncio.gather(count(held.store, HIT), return_exceptions=True)
                await count(held.store, hit(b"other"))
    assert warnings(logs) == ["hits cannot be counted; more of the same are only counted"]


async def test_a_replica_is_one_line(held: Store, valkey_port: int) -> None:
    """That the server became a replica is why the store is away, and said once."""
    with structlog.testing.capture_logs() as logs:
        async with redis.asyncio.Redis(port=valkey_port) as client:
            await client.replicaof(LOOPBACK, str(free_port()))
            await asyncio.gather(ask(held, 0.2), return_exceptions=True)
            await held.connected(False)
            await client.replicaof("NO", "ONE")
        await held.connected()
    assert warnings(logs) == ["the store is away", "the store is back"]


async def test_what_a_person_must_mend_is_seen_at_the_default_level(held: Store, valkey_port: int) -> None:
    """A password that is changed while we are away: waiting does not help, so the reason is told, once."""
    with structlog.testing.capture_logs() as logs:
        async with redis.asyncio.Redis(port=valkey_port) as client:
            await client.config_set("requirepass", "changed")
            await client.client_kill_filter(_type="normal", skipme=True)
            await held.connected(False)
            async with asyncio.timeout(30):
                while not await _logged(logs, "the store is still away"):  # noqa: ASYNC110 - a log line is no event
                    await asyncio.sleep(0.01)
            await client.config_set("requirepass", "")
        await held.connected()
    assert warnings(logs) == ["the store is away", "the store is still away", "the store is back"]


async def test_no_secret_is_logged_and_no_address_told(tmp_path: Path) -> None:
    """A password with `/` and `@` is in no line; a caller hears neither of it nor where the store is."""
    port = free_port()
    url = f"redis://app:p/w@rd:x@{LOOPBACK}:{port}"
    held = Store(port, redis_url=url, redis_startup_initial_interval=0.01)
    with structlog.testing.capture_logs() as logs:
        await held.store.start()
        async with asyncio.timeout(30):
            while not logs:  # noqa: ASYNC110 - a log line is no event
                await asyncio.sleep(0.01)
    assert logs[0]["address"] == f"{LOOPBACK}:{port}"
    assert "p/w@rd" not in str(logs)
    with pytest.raises(StoreError) as caught:
        await count(held.store, HIT)
    assert str(port) not in caught.value.reason
    await held.store.close()
