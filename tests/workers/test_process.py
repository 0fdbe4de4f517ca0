import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import psutil
import pytest

from deploy.demo.processes import LOOPBACK, free_port
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.settings import load_settings
from ratelimit.sources.handover import node_lines, tree_nodes
from ratelimit.workers import process as module
from ratelimit.workers.pipe import Pipe, message_of, text_of
from ratelimit.workers.process import serve
from tests.service.test_rate_limit import ASK
from tests.service.test_rate_limit import CONFIG as TEXT

CONFIG = load_config([ConfigFile("f", TEXT)])
PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"


class Supervised:
    """The supervisor's end of a worker's pipe; keeps what it hears."""

    def __init__(self, pipe: Pipe, running: "asyncio.Future[int]") -> None:
        self.pipe = pipe
        self.running = running
        self._lines = pipe.lines()
        self.heard: list[dict[str, Any]] = []

    async def until(self, word: str) -> Any:
        """What it says next with that word."""
        async with asyncio.timeout(30):
            while True:
                self.heard.append(await anext(self._lines))
                if word in self.heard[-1]:
                    return self.heard[-1][word]

    async def configure(self, generation: int = 1) -> None:
        """Hand a configuration over and put it in force."""
        self.pipe.send(begin=generation)
        for piece in node_lines(tree_nodes(CONFIG)):
            await self.pipe.send_piece(piece)
        self.pipe.send(whole=generation)
        assert await self.until("whole") == generation
        self.pipe.send(swap=generation)
        assert await self.until("swapped") == generation


@pytest.fixture(autouse=True)
def logs_as_they_were(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The process sets up its own; here it is a guest. What stands in every line."""
    always: dict[str, Any] = {}
    monkeypatch.setattr(module, "configure_logs", lambda _, **given: always.update(given))
    return always


@asynccontextmanager
async def supervised(*, port: int = 0, **environ: str) -> AsyncIterator[Supervised]:
    """A worker in this process, counting in memory as no real one of several would."""
    ours, theirs = socket.socketpair()
    given = {"GRPC_HOST": LOOPBACK, "BACKEND_TYPE": "memory", "DRAIN_DELAY": "0", "DRAIN_GRACE": "0", **environ}
    running = asyncio.ensure_future(serve(load_settings(given), theirs))
    pipe = await Pipe.open(ours)
    pipe.send(start={"worker": 3, "grpc_port": port})
    try:
        yield Supervised(pipe, running)
    finally:
        pipe.abort()
        await asyncio.wait_for(running, 30)


async def test_a_worker_is_what_its_supervisor_makes_of_it() -> None:
    """It takes calls when it is told to, under the generation that it is told, and tells what it counts."""
    port = free_port()
    async with supervised(port=port) as worker:
        await worker.configure(5)
        worker.pipe.send(serve=True)
        assert await worker.until("serving") is True
        assert await worker.until("healthy") is True
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
            ask: Any = channel.unary_unary(PATH)
            await ask(ASK)
        counted: dict[str, Any] = {}
        while "configured" not in counted:
            counted = await worker.until("counted")
        assert [numbers[0] for numbers in counted["configured"].values()] == [1]
        worker.pipe.send(drain="calmly")
        assert await worker.until("healthy") is False
        assert await worker.running == 0


async def test_every_line_of_its_log_says_which_worker(logs_as_they_were: dict[str, Any]) -> None:
    """All of them write to one place."""
    async with supervised() as worker:
        await worker.until("counted")
        assert logs_as_they_were == {"worker": 3}


async def test_requests_are_answered_over_the_pipe() -> None:
    """Or refused with the status and details that a call would have had."""
    async with supervised() as worker:
        worker.pipe.send(ask=1, message=text_of(ASK), counted=False)
        assert await worker.until("refusal") == 1
        assert (worker.heard[-1]["status"], "configuration" in worker.heard[-1]["details"]) == (14, True)
        await worker.configure()
        worker.pipe.send(ask=2, message=text_of(ASK), counted=True)
        assert await worker.until("answer") == 2
        assert message_of(worker.heard[-1]["message"])


async def test_a_configuration_that_does_not_wait_is_not_put_in_force() -> None:
    """Another generation, or one that was broken off."""
    async with supervised() as worker:
        worker.pipe.send(swap=7)
        await worker.configure(8)
        assert not any("swapped" in said for said in worker.heard[:-1])


async def test_a_worker_that_cannot_listen_says_why() -> None:
    """And ends with code 1; as does one whose store never came."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        async with supervised(port=taken.getsockname()[1]) as worker:
            worker.pipe.send(serve=True)
            assert "GRPC_PORT" in await worker.until("failed")
            assert await worker.running == 1
    store = {"BACKEND_TYPE": "redis", "REDIS_SOCKET_TYPE": "tcp", "REDIS_URL": f"{LOOPBACK}:{free_port()}"}
    waits = {"REDIS_STARTUP_INITIAL_INTERVAL": "10ms", "REDIS_STARTUP_MAX_ELAPSED_TIME": "20ms"}
    async with supervised(**store, **waits) as worker:
        assert "cannot connect" in await worker.until("gave_up")
        assert await worker.running == 1


@pytest.mark.parametrize("hurried", [False, True])
async def test_the_end_of_the_pipe_is_a_drain(hurried: bool) -> None:
    """The supervisor has died: calls are taken for DRAIN_DELAY, unless it was in a hurry before."""
    async with supervised(DRAIN_DELAY="1h" if hurried else "10ms") as worker:
        worker.pipe.send(serve=True)
        await worker.until("serving")
        if hurried:
            worker.pipe.send(drain="now")
        await worker.pipe.close()
        assert await asyncio.wait_for(worker.running, 30) == 0


async def test_a_worker_waits_for_the_others_in_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends nobody away before the supervisor says that none of them listens any more."""
    monkeypatch.setattr(module, "STAGE_S_MAX", 30)
    async with supervised() as worker:
        worker.pipe.send(serve=True)
        await worker.until("serving")
        worker.pipe.send(drain="calmly")
        assert await worker.until("stage") == 1
        assert not worker.running.done()
        worker.pipe.send(stage=1)
        assert await asyncio.wait_for(worker.running, 30) == 0


async def test_nobody_waits_for_a_supervisor_that_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was stopped, or hangs: the last words are given up, and the process ends."""
    monkeypatch.setattr(module, "LAST_WORDS_S", 0.05)
    monkeypatch.setattr(module, "STAGE_S_MAX", 0.05)
    async with supervised() as worker:
        worker.pipe._reader._transport.pause_reading()  # type: ignore[attr-defined]
        worker.pipe.send(drain="calmly")
        assert await asyncio.wait_for(worker.running, 30) == 0


async def test_a_spare_whose_supervisor_ends_was_never_a_worker() -> None:
    """It waits for its first line, and there is none."""
    ours, theirs = socket.socketpair()
    ours.close()
    assert await serve(load_settings({}), theirs) == 0


def test_the_process_ends_with_a_signal_and_with_its_supervisor() -> None:
    """SIGTERM drains it; the end of the pipe ends a spare; both with code 0 and without a word."""
    for stop in ("signal", "pipe"):
        ours, theirs = socket.socketpair()
        with theirs:
            child = subprocess.Popen(
                [sys.executable, "-m", "ratelimit.workers.process", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE,
            )  # fmt: skip
        with ours, child:
            if stop == "signal":
                ours.sendall(b'{"start": {"worker": 1, "grpc_port": 0}}\n')
                assert json.loads(ours.makefile().readline())
                psutil.Process(child.pid).send_signal(signal.SIGTERM)
            else:
                ours.shutdown(socket.SHUT_RDWR)
            assert child.wait(60) == 0


async def test_keys_are_told_while_somebody_watches() -> None:
    """Once a second; with none watching nothing is noted."""
    async with supervised() as worker:
        await worker.configure()
        worker.pipe.send(watch=True)
        worker.pipe.send(ask=1, message=text_of(ASK), counted=True)
        while not (keys := await worker.until("keys"))["busiest"]:
            pass
        assert keys["step"] == 1
        worker.pipe.send(watch=False)
        worker.pipe.send(ask=2, message=text_of(ASK), counted=True)
        assert await worker.until("answer") == 2
