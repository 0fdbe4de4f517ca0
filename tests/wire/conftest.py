"""A client on a running server, in three ways: bytes as they are given, one by one, and behind TLS."""

import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from ratelimit.settings import ServerSettings
from ratelimit.transport import native_connection
from tests.transport.test_tls import certificate
from tests.wire.client import WireClient, connected
from tests.wire.served import LOOPBACK, running
from tests.wire.victim import Victim

LEFT_OUT = ("asyncio-bytewise", "asyncio-tls")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would tell nothing new: single bytes and TLS on asyncio's own loop too."""
    left_out = [item for item in items if item.name.startswith(LEFT_OUT, item.name.find("[") + 1)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def tls_settings(tmp_path_factory: pytest.TempPathFactory) -> ServerSettings:
    """A server behind TLS, with a certificate of its own making."""
    cert, key = certificate(tmp_path_factory.mktemp("tls"), "server", "IP:127.0.0.1")
    tls = {"grpc_server_use_tls": True, "grpc_server_tls_cert": cert, "grpc_server_tls_key": key}
    return LOOPBACK.model_copy(update=tls)


@pytest.fixture(scope="session")
def victim() -> Iterator[Victim]:
    """Who is served while another one attacks."""
    victim = Victim()
    yield victim
    victim.close()


@pytest.fixture(autouse=True)
def brief_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for connections that failed, so that their clients can read why; ours are quick."""
    monkeypatch.setattr(native_connection, "FAILED_LINGER_S", 0.02)


@contextlib.asynccontextmanager
async def speaking(way: str, tls_settings: ServerSettings) -> AsyncIterator[WireClient]:
    """A client on a server that stops after it."""
    tls = way == "tls"
    async with (
        running(tls_settings if tls else LOOPBACK) as server,
        connected(server.port, tls=tls, bytewise=way == "bytewise") as client,
    ):
        yield client


@pytest_asyncio.fixture(params=["whole", "bytewise", "tls"])
async def unopened(request: pytest.FixtureRequest, tls_settings: ServerSettings) -> AsyncIterator[WireClient]:
    """A connection on which nothing was said."""
    async with speaking(request.param, tls_settings) as client:
        yield client


@pytest_asyncio.fixture(params=["whole", "bytewise", "tls"])
async def client(request: pytest.FixtureRequest, tls_settings: ServerSettings) -> AsyncIterator[WireClient]:
    """A connection that is open both ways: SETTINGS were exchanged and acknowledged."""
    async with speaking(request.param, tls_settings) as client:
        await client.open()
        yield client
