import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import RpcError, StoreError
from ratelimit.metrics import Metrics
from ratelimit.settings import ServerSettings, Settings
from ratelimit.workers import rounds, supervisor
from ratelimit.workers.supervisor import Supervisor
from tests.workers.fakes import fake
from tests.workers.left import left

CONFIG = load_config([ConfigFile("f", b"domain: d\ndescriptors: [{key: k}]")])
SETTINGS = Settings(server=ServerSettings(grpc_host="127.0.0.1", grpc_port=0, drain_delay=0, drain_grace=0))


# The first takes half a second for its second configuration.
SLOW = """
number = 0
def start(line):
    global number
    number = line["start"]["worker"]
def whole(line):
    time.sleep(0.5 if number == 1 and line["whole"] == 2 else 0)
    say(whole=line["whole"])
does |= {"start": start, "whole": whole}
"""
STAGES = "does['ask'] = lambda line: (say(stage=1), say(answer=line['ask'], message=''))"


@asynccontextmanager
async def supervised(code: str = "", workers: int = 2, *, start: bool = True) -> AsyncIterator[Supervisor]:
    """A supervisor whose workers are fakes that do what `code` says; none of them is left."""
    made = Supervisor(SETTINGS, Metrics(), workers, fake(code))
    try:
        if start:
            await asyncio.wait_for(made.start(), 30)
        yield made
    finally:
        await made.close()
        assert left() == []


async def until(true: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - processes tell nobody else
            await asyncio.sleep(0.005)


async def test_all_workers_serve_and_end_together() -> None:
    """One port, one health, one answer from whoever's turn it is; a drain ends all."""
    async with supervised("does['ask'] = lambda line: say(answer=line['ask'], message=pid)\n"
                          "import base64; pid = base64.b64encode(b'%d' % os.getpid()).decode()") as made:  # fmt: skip
        await until(lambda: made.healthy)
        assert made._stats.alive == 2
        assert made.grpc_port
        assert len({await made.ask(b"") for _ in range(4)}) == 2
        await made.drain(asyncio.Event())
        assert not made.healthy
        assert made._stats.alive == 0
        with pytest.raises(RpcError, match="no worker takes calls"):
            await made.ask(b"")


async def test_a_configuration_is_in_force_in_all_at_once() -> None:
    """Nobody swaps before all have received it; a worker that starts later has it before it takes calls."""
    async with supervised("import random; does['nodes'] = lambda line: time.sleep(random.random() / 20)") as made:
        with capture_logs() as logs:
            made.swap(CONFIG)
            await until(lambda: made._told_in_force == 1)
            made.swap(CONFIG)
            processes = list(made._processes.values())
            while min(process.in_force for process in processes) < 2:
                if any(process.told_to_swap == 2 for process in processes):
                    assert min(process.whole for process in processes) == 2
                await asyncio.sleep(0)
            processes[0]._child.kill()
            await until(lambda: made._stats.restarts == 1 and made._stats.alive == 2)
        assert {process.in_force for process in made._processes.values()} == {2}
        told = [line for line in logs if "in force" in line["event"]]
        assert [(line["generation"], line["workers"]) for line in told] == [(1, 2), (2, 2)]


async def test_a_slow_worker_does_not_hold_the_others_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """HANDING_ON_S_MAX: who has the configuration swaps, who has not does so later."""
    monkeypatch.setattr(supervisor, "HANDING_ON_S_MAX", 0.05)
    async with supervised(SLOW) as made:
        made.swap(CONFIG)
        await until(lambda: made._told_in_force == 1)
        made.swap(CONFIG)
        await until(lambda: made._processes[2].in_force == 2)
        assert made._processes[1].in_force == 1
        await until(lambda: made._processes[1].in_force == 2)


async def test_a_worker_that_ends_is_started_again_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies whenever it is to serve a second time: two lines for it, however often; the other one goes on."""
    monkeypatch.setattr(rounds, "WAIT_S_MIN", 0.001)
    monkeypatch.setattr(rounds, "WAIT_S_MAX", 0.01)
    async with supervised(workers=2) as made:
        made._command = fake("sys.exit(7)")
        with capture_logs() as logs:
            made._processes[1]._child.kill()
            await until(lambda: made._stats.restarts >= 4)
            assert made._stats.alive == 1
            assert made.healthy
            made._command = fake()
            await until(lambda: made._stats.alive == 2)
        told = [(line["event"], line.get("reason", "")) for line in logs if line.get("worker") == 1]
        assert told == [
            ("a worker ended, and is started again", "it was ended by SIGKILL"),
            ("a worker ended, and is started again", "it ended with code 7"),
            ("a worker takes calls again", ""),
        ]


async def test_a_start_that_no_worker_can_make_ends_with_its_reason() -> None:
    """As without workers; one that crashes without a reason is tried again instead."""
    with pytest.raises(OSError, match="no such certificate"):
        async with supervised("does['start'] = lambda line: (say(failed='no such certificate'), sys.exit(1))"):
            pass
    async with supervised("sys.exit(1)") as made:
        assert not made.healthy


async def test_a_store_that_never_came_ends_the_service() -> None:
    """As without workers, where no worker ever found it."""
    gives_up = "does['serve'] = lambda line: (say(gave_up='cannot connect'), sys.exit(1))"
    async with supervised(gives_up) as made:
        with pytest.raises(StoreError, match="cannot connect"):
            await asyncio.wait_for(made.gave_up(), 30)
    async with supervised() as made:
        await until(lambda: made.healthy)
        made._command = fake(gives_up)
        made._processes[1]._child.kill()
        await until(lambda: made._stats.restarts >= 1)
        assert not made._gave_up.done()


async def test_a_worker_that_cannot_be_started_or_kept_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program, and a fault of ours: both are told, and end nothing."""
    monkeypatch.setattr(rounds, "WAIT_S_MIN", 0.001)
    async with supervised(workers=2) as made:
        made._command = ("/no/such/program",)
        with capture_logs() as logs:
            made._processes[1]._child.kill()
            await until(lambda: made._stats.restarts >= 2)
            made._command = None  # type: ignore[assignment]
            await until(lambda: made._stats.restarts >= 4)
            made._command = fake()
            await until(lambda: made._stats.alive == 2)
        reasons = [line["reason"] for line in logs if "reason" in line]
        assert reasons[1] == "it cannot be started: No such file or directory"
        assert reasons[2].startswith("the supervisor failed: ")


async def test_whoever_does_not_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second signal ends the waits, and what ignores that is killed."""
    monkeypatch.setattr(supervisor, "HURRY_S_MAX", 0.05)
    async with supervised("does['drain'] = lambda line: None") as made:
        hurry = asyncio.Event()
        draining = asyncio.ensure_future(made.drain(hurry))
        await asyncio.sleep(0)
        assert not draining.done()
        hurry.set()
        await asyncio.wait_for(draining, 30)


async def test_requests_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound they are refused at once."""
    monkeypatch.setattr(supervisor, "ASKED_MAX", 1)
    async with supervised("does['ask'] = lambda line: None") as made:
        waiting = asyncio.ensure_future(made.ask(b""))
        await asyncio.sleep(0)
        with pytest.raises(RpcError, match="1 requests wait"):
            await made.ask(b"")
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_workers_that_drain_wait_for_each_other() -> None:
    """Each stage is taken when all who take calls have come to it."""
    async with supervised(STAGES) as made:
        for told in (0, 1):
            await made.ask(b"")
            assert [process.told_stage for process in made._processes.values()] == [told, told]


def test_the_supervisor_needs_no_grpc() -> None:
    """Its process holds neither gRPC nor a store: what makes workers large and may fail in them."""
    code = "import sys, ratelimit.app, ratelimit.workers.supervisor; print({'grpc', 'redis'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


async def test_the_page_sees_every_worker() -> None:
    """What each says of itself, and the keys that each noted: also one that started while a page was open."""
    async with supervised("does['watch'] = lambda line: line['watch'] and say(keys={'step': 1})") as made:
        made.watch_keys(on=True)
        await until(lambda: len(made.key_rates()) == 2)
        first = next(iter(made._processes.values()))
        first._child.kill()
        await until(lambda: first not in made._processes.values() and len(made.key_rates()) == 2)
        await until(lambda: all(state["healthy"] for state in made.worker_states))
        assert [state["worker"] for state in made.worker_states] == [1, 2]
        assert made.worker_states[0] == {"worker": 1, "serving": True, "healthy": True, "generation": 0}
        made.watch_keys(on=False)
        assert made.key_rates() == []
