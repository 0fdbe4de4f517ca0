import asyncio
import threading
from collections import Counter

import pytest

from ratelimit.admin import profiling
from ratelimit.admin.profiling import OTHERS, collapsed, profile, stacks_now


def waiting_here(started: threading.Event, end: threading.Event, depth: int = 0) -> None:
    """A function to be seen in a stack, so deep."""
    if depth:
        waiting_here(started, end, depth - 1)
    else:
        started.set()
        end.wait(60)


@pytest.fixture
def end() -> threading.Event:
    """Ends the thread that waits."""
    return threading.Event()


def started(end: threading.Event, depth: int = 0) -> threading.Thread:
    """A thread that waits in a function of ours."""
    begun = threading.Event()
    thread = threading.Thread(target=waiting_here, args=(begun, end, depth), name="a; thread")
    thread.start()
    begun.wait(60)
    return thread


def test_a_profile_has_the_stacks_of_all_threads(end: threading.Event) -> None:
    """Outermost first, with the thread's name; not its own."""
    thread = started(end)
    found = profile(0.05, threading.Event())
    end.set()
    thread.join()
    (stack,) = [stack for stack in found if stack.startswith("a,_thread;")]
    assert "tests.admin.test_profiling:waiting_here;threading:Event.wait" in stack
    assert found[stack] == 5
    assert not [stack for stack in found if "profiling:profile" in stack and "test_a_profile" not in stack]
    assert f"{stack} 5\n" in collapsed(found)


def test_a_profile_can_be_ended(end: threading.Event) -> None:
    """It looks once at least, whatever it was asked for."""
    thread, stop = started(end), threading.Event()
    stop.set()
    assert max(profile(60, stop).values()) == 1
    end.set()
    thread.join()


def test_what_a_profile_holds_is_bounded(end: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep stacks keep their innermost part, and beyond so many different ones they are one."""
    thread = started(end, 200)
    names = [name for stack in profile(0.01, threading.Event()) for name in stack.split(";") if "waiting_here" in name]
    monkeypatch.setattr(profiling, "STACKS_MAX", 0)
    others = profile(0.01, threading.Event())
    end.set()
    thread.join()
    assert 90 < len(names) <= profiling.DEPTH_MAX
    assert set(others) == {OTHERS}


def test_the_most_frequent_come_first() -> None:
    """One line each."""
    assert collapsed(Counter({"a;b": 1, "c": 2})) == "c 2\na;b 1\n"


async def test_the_stacks_of_threads_and_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """By their names; of many tasks some are shown."""

    async def sleeping() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(sleeping(), name="sleeper")
    await asyncio.sleep(0)
    text = "".join(stacks_now())
    assert "thread MainThread" in text
    assert "task sleeper: test_the_stacks_of_threads_and_tasks.<locals>.sleeping\n" in text
    assert "test_profiling.py" in text
    monkeypatch.setattr(profiling, "TASKS_MAX", 1)
    text = "".join(stacks_now())
    assert ", of which 1 are shown" in text
    assert text.count("\ntask ") == 1
    task.cancel()
