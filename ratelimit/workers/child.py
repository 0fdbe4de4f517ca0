"""A process of ours at the other end of a pipe, started without holding the event loop, and ended for certain."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from ratelimit.lifetime import end_tasks
from ratelimit.workers.pipe import Pipe

# What an ended pipe leaves of the process: an interpreter that cleans up.
END_S_MAX = 5.0
SPARE_LOOK_S = 1.0
# The process imports the same package as this one, wherever that was started.
_IMPORT_ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "ratelimit.workers.process")


class Child:
    """One process. Whoever starts it calls `reap` in the end, whatever happened."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: Pipe) -> None:
        self._process = process
        self.pipe = pipe

    @classmethod
    async def start(cls, command: tuple[str, ...] = COMMAND) -> "Child":
        """Start `command` with the number of its end of the pipe behind it. Raises OSError.

        With Popen and a socket pair as `sources.reader_process` does, and for its reasons; from the loop's own thread,
        since the kernel tells a child of the death of the thread that started it.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = subprocess.Popen(  # noqa: ASYNC220, S603 - see above; our own interpreter and module
                    (*command, str(theirs.fileno())),
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    cwd=_IMPORT_ROOT,
                    start_new_session=True,  # Ctrl-C is for the supervisor, which drains the workers
                )
            except BaseException:
                ours.close()
                raise
        return cls(process, await Pipe.open(ours))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def ended(self) -> int:
        """Wait for its end, when its pipe has ended already; its code. One that lingers is killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return await asyncio.to_thread(self._process.wait, END_S_MAX)
        self.kill()
        return await asyncio.to_thread(self._process.wait)

    async def reap(self) -> None:
        """Kill what still runs, and leave nothing of it."""
        self.pipe.abort()
        self.kill()
        await asyncio.to_thread(self._process.wait)


class Spare:
    """One process more than there are workers: it has imported everything and waits for its first line.

    On a busy machine an interpreter takes a second and more until it serves; the spare takes the place of a worker
    that ended within milliseconds.
    """

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._child: Child | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Have one from now on, but not at once: whoever takes the place of a worker goes first."""
        self._task = asyncio.ensure_future(self._keep())

    def take(self) -> Child | None:
        """The spare, for good, if there is one that lives."""
        child = self._child
        if child is None or not child.alive:
            return None
        self._child = None
        return child

    async def close(self) -> None:
        """End it."""
        await end_tasks(self._task)
        if self._child is not None:
            await self._child.reap()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(SPARE_LOOK_S)
            if self._child is not None and not self._child.alive:
                dead, self._child = self._child, None
                await dead.reap()
            elif self._child is None:
                with contextlib.suppress(OSError):  # tried again; a worker that needs one starts its own, and tells
                    self._child = await Child.start(self._command)
