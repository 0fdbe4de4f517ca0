import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.demo.processes import start_service
from loadtest.answers import SETTINGS, LoadFailedError, frame, opening
from loadtest.bench import write_configs
from loadtest.cases import CASES
from loadtest.raw_client import Found, Load, close, connect, main, run
from loadtest.servers import OWN_FOLDER
from tests.loadtest.test_answers import answer


def ran(load: Load) -> Found:
    """What a load comes to."""
    connections = connect(load)
    try:
        return run(load, connections)
    finally:
        close(connections)


class Peer(threading.Thread):
    """A server of one connection: it opens well, reads the first calls, and then says what it is told to."""

    def __init__(self, answers: bytes) -> None:
        super().__init__()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._answers = answers

    def run(self) -> None:
        connection, _ = self._listener.accept()
        with self._listener, connection:
            connection.recv(len(opening()))
            connection.sendall(frame(SETTINGS, 0, 0) + frame(SETTINGS, 1, 0))
            connection.recv(65536)
            connection.sendall(self._answers)
            while not self._answers and connection.recv(65536):
                pass


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    """Servers that the test starts; they are over when it is."""
    found: list[Peer] = []
    yield found
    for peer in found:
        peer.join()


def test_calls_are_counted_and_timed(peers: list[Peer]) -> None:
    """Two calls, two answers, their latencies in order."""
    peers.append(peer := Peer(answer(1) + answer(3)))
    peer.start()
    found = ran(Load(peer.port, requests=2, connections=1))
    assert found.requests == 2
    assert 0 < found.p50_ms <= found.p99_ms <= found.p999_ms <= found.elapsed_s * 1000
    assert found.rate == 2 / found.elapsed_s


@pytest.mark.parametrize("rate", [0, 1000])
def test_a_server_that_falls_silent_fails_the_load(
    peers: list[Peer], monkeypatch: pytest.MonkeyPatch, rate: int
) -> None:
    """The message says what it was asked."""
    peers.append(peer := Peer(b""))
    peer.start()
    monkeypatch.setattr("loadtest.raw_client.SILENT_S", 0.1)
    with pytest.raises(LoadFailedError, match=r"silent for 0.1 s; 2 calls open, 1 to send, \d+ bytes of the window"):
        ran(Load(peer.port, requests=3, connections=1, streams=2, rate=rate))


def test_a_server_that_closes_fails_the_load(peers: list[Peer]) -> None:
    """With calls open no close is a good one."""
    peers.append(peer := Peer(answer(1)))
    peer.start()
    with pytest.raises(LoadFailedError, match=r"closed the connection|takes no more|answers end"):
        ran(Load(peer.port, requests=3, connections=1, streams=2))


def test_nobody_there_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever started the client reads it from its output."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setattr(sys, "argv", ["raw_client", json.dumps({"port": port})])
    assert main() == 1
    assert "refused" in json.loads(capsys.readouterr().out)["failed"]


@pytest.mark.integration
async def test_ours_answers_every_load(tmp_path: Path, valkey_port: int) -> None:
    """Each case of the bench, a few calls of it, with the code that it must have; at last the open one."""
    write_configs(tmp_path)
    environ = {
        "RUNTIME_ROOT": str(tmp_path),
        "RUNTIME_SUBDIRECTORY": OWN_FOLDER,
        "RUNTIME_IGNOREDOTFILES": "true",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"127.0.0.1:{valkey_port}",
        "REDIS_TIMEOUT": "5s",
        "LOCAL_CACHE_SIZE_IN_BYTES": "65536",
        "DRAIN_DELAY": "0",
    }
    instance = await start_service("service", tmp_path, environ)
    try:
        await asyncio.to_thread(ran, Load(instance.grpc_port, "over", 16, code=None))
        for load in (case.load for case in CASES):
            few = Load(
                instance.grpc_port, load.kind, 300, load.connections, load.streams, min(load.rate, 500), load.code
            )
            assert (await asyncio.to_thread(ran, few)).requests == 300
    finally:
        await instance.program.stop()
