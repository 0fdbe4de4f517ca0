import asyncio
from collections.abc import Callable

import pytest

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.errors import GrpcStatus, RpcError
from ratelimit.metrics import Metrics
from ratelimit.workers import worker_process as module
from ratelimit.workers.child import Child
from ratelimit.workers.worker_process import WorkerProcess
from tests.workers.fakes import fake
from tests.workers.left import left

OPEN = "ratelimit.redis_pool.cx_active"
NODES = 2000
CONFIG = load_config(
    [ConfigFile("f", b"domain: d\ndescriptors:\n" + b"".join(b"- {key: k%d}\n" % number for number in range(NODES)))]
)


class Running:
    """A worker whose process is a fake, and its life."""

    def __init__(self, child: Child) -> None:
        self.metrics = Metrics()
        self.worker = WorkerProcess(1, child, self.metrics, self._changed)
        self._change = asyncio.Event()
        self.life = asyncio.ensure_future(self.worker.run(8081))

    def _changed(self) -> None:
        self._change.set()

    async def until(self, true: Callable[[WorkerProcess], bool]) -> None:
        """Wait until it says so."""
        while not true(self.worker):
            self._change.clear()
            await self._change.wait()


async def running(code: str = "") -> Running:
    """One that does what `code` says."""
    return Running(await Child.start(fake(code)))


async def test_a_worker_is_fed_swapped_and_told_to_serve_and_to_end() -> None:
    """Each word has its answer; what it had open is gone with it, and its process too."""
    one = await running("does['whole'] = lambda line: say(whole=line['whole'] + rows)")
    one.worker.feed(CONFIG, 3)
    await one.until(lambda worker: worker.whole == 3 + NODES + 1)
    one.worker.swap(3)
    one.worker.serve()
    await one.until(lambda worker: worker.healthy)
    assert (one.worker.in_force, one.worker.serving) == (3, True)
    assert one.metrics.snapshot().singles[OPEN] == 1
    one.worker.end("calmly")
    assert await one.life == "it ended with code 0"
    assert not one.worker.serving
    assert one.metrics.snapshot().singles[OPEN] == 0
    assert left() == []


async def test_a_configuration_breaks_off_the_one_before() -> None:
    """Only the last one is whole."""
    one = await running("does['nodes'] = lambda line: time.sleep(0.001)")
    for generation in (1, 2, 3):
        one.worker.feed(CONFIG, generation)
    await one.until(lambda worker: worker.whole == 3)
    one.worker.end("now")
    await one.life


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "it was ended by SIGKILL"),
        ("os.kill(os.getpid(), 63)", "it was ended by signal 63"),
        ("sys.exit(3)", "it ended with code 3"),
        ("say(failed='cannot listen'); sys.exit(1)", "cannot listen"),
        ("say(gave_up='cannot connect'); sys.exit(1)", "cannot connect"),
        ("end.sendall(b'nonsense\\n'); time.sleep(600)", "it wrote what is no line of a worker"),
        ("end.sendall(b'[]\\n'); time.sleep(600)", "it wrote what is no line of a worker"),
        ("say(what=1); time.sleep(600)", "it wrote what is no line of a worker"),
        ("say(counted={'calls': [1]}); time.sleep(600)", "it wrote what is no line of a worker"),
        ("say(counted={'what': 1}); time.sleep(600)", "it wrote what is no line of a worker"),
    ],
)
async def test_whatever_its_process_does_is_its_end_in_words(code: str, reason: str) -> None:
    """A crash, an exit, a reason of its own, nonsense of every kind."""
    one = await running(code)
    assert (await asyncio.wait_for(one.life, 30)).startswith(reason)
    assert left() == []


async def test_a_worker_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callers get no answers; one silence alone is none."""
    monkeypatch.setattr(module, "SILENCE_S_MAX", 0.1)
    one = await running("time.sleep(600)")
    assert "said nothing for 0.1 s" in await asyncio.wait_for(one.life, 30)


async def test_a_life_that_is_cancelled_leaves_no_process() -> None:
    """Whoever ends the service does not wait for a worker that does not want to."""
    one = await running("does['drain'] = lambda line: say(stage=1)")
    one.worker.end("now")
    await one.until(lambda worker: worker.stage == 1)
    one.worker.let_go_on()
    one.life.cancel()
    await asyncio.wait([one.life], timeout=30)
    assert one.life.cancelled()
    assert left() == []


async def test_a_request_is_answered_or_refused() -> None:
    """By its number, whatever comes in between; an answer that nobody waits for is dropped."""
    one = await running("say(answer=99, message='')")
    assert await asyncio.gather(*(one.worker.ask(b"%d" % number) for number in range(3))) == [b"0", b"1", b"2"]
    one.worker.end("now")
    await one.life
    told = await running(
        "does['ask'] = lambda line: say(answer=line['ask'], message='YQ==' if line['counted'] else '')"
    )
    assert [await told.worker.ask(b"", counted=counted) for counted in (False, True)] == [b"", b"a"]
    told.worker.end("now")
    await told.life
    refusing = await running("does['ask'] = lambda line: say(refusal=line['ask'], status=14, details='away')")
    with pytest.raises(RpcError, match="UNAVAILABLE: away"):
        await refusing.worker.ask(b"")
    refusing.worker.end("now")
    await refusing.life


async def test_nobody_waits_for_a_worker_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has died, or takes too long."""
    one = await running("does['ask'] = lambda line: sys.exit(0)")
    with pytest.raises(RpcError, match="has ended"):
        await one.worker.ask(b"")
    await one.life
    monkeypatch.setattr(module, "ASK_S_MAX", 0.05)
    slow = await running("does['ask'] = lambda line: None")
    with pytest.raises(RpcError) as caught:
        await slow.worker.ask(b"")
    assert caught.value.grpc_status is GrpcStatus.DEADLINE_EXCEEDED
    slow.worker.end("now")
    await slow.life


async def test_what_it_notes_of_keys_is_kept_while_it_is_to_watch() -> None:
    """And not when it comes late, after it was told to stop."""
    one = await running("does['watch'] = lambda line: (say(keys={'step': 1}), say(healthy=line['watch']))")
    one.worker.watch(on=True)
    await one.until(lambda worker: worker.healthy)
    assert one.worker.key_rates == {"step": 1}
    one.worker.watch(on=False)
    await one.until(lambda worker: not worker.healthy)
    assert one.worker.key_rates is None
    one.worker.end("now")
    await one.life
