import asyncio
import os

import psutil
import pytest

from ratelimit.workers import child as module
from ratelimit.workers.child import Child, Spare
from tests.workers.fakes import fake


async def test_a_child_hears_and_says_and_leaves_nothing() -> None:
    """Its one file is the pipe; a session of its own; no zombie when it was reaped."""
    child = await Child.start(fake("say(pid=os.getpid(), files=sorted(map(int, os.listdir('/proc/self/fd'))))"))
    said = await anext(child.pipe.lines())
    assert len(said["files"]) <= 6  # its own three, the pipe twice at most, the listing
    assert os.getsid(said["pid"]) == said["pid"]
    assert child.alive
    await child.reap()
    assert not child.alive
    assert not psutil.pid_exists(said["pid"])


async def test_a_command_that_is_not_there_is_an_error() -> None:
    """And no file is left open."""
    before = psutil.Process().num_fds()
    with pytest.raises(OSError, match="No such file"):
        await Child.start(("/no/such/program",))
    assert psutil.Process().num_fds() == before


async def test_a_child_that_lingers_after_its_pipe_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It closed its end and does not end itself."""
    monkeypatch.setattr(module, "END_S_MAX", 0.05)
    child = await Child.start(fake("lines.close(); end.close(); time.sleep(600)"))
    assert [fields async for fields in child.pipe.lines()] == []
    assert await child.ended() == -9
    await child.reap()


async def test_a_spare_is_taken_once_and_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the one that waited has died meanwhile; the last one ends with the service."""
    monkeypatch.setattr(module, "SPARE_LOOK_S", 0.01)
    spare = Spare(fake())
    assert spare.take() is None
    spare.start()
    taken = [await _take(spare) for _ in range(2)]
    assert taken[0] is not taken[1]
    waiting = await _waiting(spare)
    waiting.kill()
    while waiting.alive:  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(0.001)
    assert spare.take() is None
    taken.append(await _take(spare))
    last = await _waiting(spare)
    await spare.close()
    assert not last.alive
    for child in taken:
        await child.reap()


async def test_a_spare_that_cannot_be_started_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wanted it starts its own, and hears why that fails."""
    monkeypatch.setattr(module, "SPARE_LOOK_S", 0.001)
    spare = Spare(("/no/such/program",))
    spare.start()
    await asyncio.sleep(0.02)
    assert spare.take() is None
    await spare.close()


async def _take(spare: Spare) -> Child:
    while (child := spare.take()) is None:  # noqa: ASYNC110 - it comes when it comes
        await asyncio.sleep(0.005)
    return child


async def _waiting(spare: Spare) -> Child:
    while spare._child is None:  # noqa: ASYNC110 - it comes when it comes
        await asyncio.sleep(0.005)
    return spare._child
