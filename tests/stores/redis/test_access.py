"""The contract on every way to one server: a Unix socket, an ACL user, TLS with certificates on both sides."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from deploy.demo.processes import LOOPBACK, ROOT, free_port, start_valkey
from ratelimit.limiter.algorithm import GCRA, SLIDING_WINDOW
from ratelimit.stores.redis.store import RedisStore
from tests.limiter.plans import NOW, hit, moment
from tests.stores.contract import PoisonContract, StoreContract, count
from tests.stores.redis.test_store import Store, poison, start_redis, ttl
from tests.transport.test_tls import certificate

__all__ = ["poison", "ttl"]  # fixtures


def tls_options(pair: tuple[str, str], port: int) -> list[str]:
    """A server that has a certificate and wants one, the same."""
    cert, key = pair
    files = ["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert]
    return ["--tls-port", str(port), *files]


class _ByAccess(StoreContract, PoisonContract):
    access = ""

    @pytest_asyncio.fixture
    async def served(self, tmp_path: Path) -> AsyncIterator[tuple[int, dict[str, object]]]:
        tls_port, path = free_port(), tmp_path / "s"
        cert, key = certificate(tmp_path, "redis", f"IP:{LOOPBACK}")
        users = ["--unixsocket", str(path), "--user", "app", "on", ">pass", "~*", "+@all"]
        program, port = await start_redis(tmp_path, *tls_options((cert, key), tls_port), *users)
        files = {"redis_tls_cacert": cert, "redis_tls_client_cert": cert, "redis_tls_client_key": key}
        ways: dict[str, dict[str, object]] = {
            "unix": {"redis_socket_type": "unix", "redis_url": str(path)},
            "acl": {"redis_url": f"{LOOPBACK}:{port}", "redis_auth": "app:pass"},
            "tls": {"redis_url": f"{LOOPBACK}:{tls_port}", "redis_tls": True, **files},
        }
        yield port, ways[self.access]
        await program.stop()

    @pytest.fixture
    def server_port(self, served: tuple[int, dict[str, object]]) -> int:
        return served[0]

    @pytest_asyncio.fixture
    async def store(self, served: tuple[int, dict[str, object]]) -> AsyncIterator[RedisStore]:
        held = Store(served[0], **served[1])
        await held.store.start()
        await held.connected()
        yield held.store
        await held.store.close()


@pytest.mark.one_loop
class TestUnixSocket(_ByAccess):
    """REDIS_SOCKET_TYPE=unix."""

    access = "unix"


@pytest.mark.one_loop
class TestAclUser(_ByAccess):
    """REDIS_AUTH=user:password."""

    access = "acl"


@pytest.mark.one_loop
class TestTls(_ByAccess):
    """REDIS_TLS with an authority and a client certificate."""

    access = "tls"


async def test_the_rights_that_the_documents_name_are_enough(tmp_path: Path) -> None:
    """A user with these and no other counts by every script, and is told no."""
    (rights,) = re.findall("A user needs `(.*?)`", (ROOT / "docs" / "operating.md").read_text())
    program, port = await start_valkey(tmp_path, None, "--user", "app", "on", ">pass", "-@all", *rights.split())
    held = Store(port, redis_auth="app:pass", redis_url=f"redis://{LOOPBACK}:{port}/1")
    with structlog.testing.capture_logs() as logs:
        await held.store.start()
        await held.connected()
        hits = [hit(b"k"), hit(b"k", group=1), hit(b"j", group=1)]
        at_ms = NOW * 1000
        hits += [moment(each, at_ms, name=each.tag.encode()) for each in (SLIDING_WINDOW, GCRA)]
        hits += [hit(b"k", -1), hit(b"k", 0)]
        assert await count(held.store, *hits) == [1, 2, 1, 1, 1, 1, 1]
    assert [each["event"] for each in logs] == ["connected to the store"]
    await held.store.close()
    await program.stop()


async def test_a_certificate_for_another_name_is_refused_unless_told_not_to(tmp_path: Path) -> None:
    """REDIS_TLS_SKIP_HOSTNAME_VERIFICATION gives up the name only: the authority still counts."""
    port, (cert, key) = free_port(), certificate(tmp_path, "redis", "DNS:other.example")
    program, plain = await start_redis(tmp_path, *tls_options((cert, key), port))
    files = {"redis_tls_cacert": cert, "redis_tls_client_cert": cert, "redis_tls_client_key": key}
    given = {"redis_url": f"{LOOPBACK}:{port}", "redis_tls": True, **files}
    strict = Store(plain, **given, redis_startup_max_elapsed_time=0.01, redis_startup_initial_interval=0.01)
    with structlog.testing.capture_logs() as logs:
        await strict.store.start()
        assert "certificate" in str(await _why_given_up(strict))
    assert logs[0]["event"] == "the store is away"
    loose = Store(plain, **given, redis_tls_skip_hostname_verification=True)
    await loose.store.start()
    await loose.connected()
    for each in (strict, loose):
        await each.store.close()
    await program.stop()


async def _why_given_up(held: Store) -> BaseException | None:
    try:
        await held.store.gave_up
    except Exception as error:  # noqa: BLE001 - it is what is looked at
        return error
    return None
