"""What the process is doing: the stacks of its threads and tasks now, and a sampling profile of its threads.

Nothing runs while nobody asks. A profile is a thread that looks at every thread's stack a hundred times a second; it
needs the interpreter's lock for each look, some 50 µs.
"""

import asyncio
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from types import CodeType, FrameType

INTERVAL_S = 0.01
DEPTH_MAX = 100
STACKS_MAX = 10_000
TASKS_MAX = 1_000
OTHERS = "(others)"


def profile(seconds: float, stop: threading.Event) -> Counter[str]:
    """Look at all other threads for so long, or until `stop`: collapsed stacks and how often each was seen.

    A collapsed stack is `thread;outermost;...;innermost`. Beyond STACKS_MAX different ones, all are `(others)`.
    """
    found: Counter[str] = Counter()
    names: dict[CodeType, str] = {}
    me = threading.get_ident()
    for _ in range(max(1, round(seconds / INTERVAL_S))):
        threads = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():  # noqa: SLF001 - there is no other way
            if ident != me:
                stack = ";".join((_safe(threads.get(ident, str(ident))), *_names(frame, names)))
                found[stack if stack in found or len(found) < STACKS_MAX else OTHERS] += 1
        if stop.wait(INTERVAL_S):
            break
    return found


def collapsed(stacks: Counter[str]) -> str:
    """One line for each stack, the most frequent first, as flame graph tools read them: `a;b;c 12`."""
    return "".join(f"{stack} {times}\n" for stack, times in stacks.most_common())


def stacks_now() -> Iterator[str]:
    """The stack of every thread, then of every task of the running event loop, in pieces."""
    threads = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - likewise
        yield f"thread {threads.get(ident, '?')} ({ident})\n{''.join(traceback.format_stack(frame, DEPTH_MAX))}\n"
    tasks = asyncio.all_tasks()
    yield f"{len(tasks)} tasks{f', of which {TASKS_MAX} are shown' if len(tasks) > TASKS_MAX else ''}\n\n"
    for task, _ in zip(tasks, range(TASKS_MAX), strict=False):
        frames = "".join(
            "".join(traceback.format_list([(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname, None)]))
            for frame in task.get_stack(limit=DEPTH_MAX)
        )
        yield f"task {task.get_name()}: {_coroutine(task)}\n{frames}\n"


def _coroutine(task: "asyncio.Task[object]") -> str:
    coroutine = task.get_coro()
    return str(getattr(coroutine, "__qualname__", coroutine))


def _names(frame: FrameType | None, known: dict[CodeType, str]) -> list[str]:
    """The functions of a stack, outermost first; of a deep one the innermost."""
    names: list[str] = []
    while frame is not None and len(names) < DEPTH_MAX:
        code = frame.f_code
        name = known.get(code)
        if name is None:
            name = known[code] = _safe(f"{frame.f_globals.get('__name__', '?')}:{code.co_qualname}")
        names.append(name)
        frame = frame.f_back
    return names[::-1]


def _safe(name: str) -> str:
    """A name that no reader of collapsed stacks takes for two."""
    return name.replace(";", ",").replace(" ", "_").replace("\n", "_")
