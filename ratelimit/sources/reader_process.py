"""The other side of `reader`: starts the process, takes its pieces without holding the event loop, ends it for certain.

Whatever the process does, crash, hang, write nonsense or never stop writing, is one ConfigError here, and nothing of it
is left behind.
"""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ratelimit.descriptors.tree import Config, Node
from ratelimit.errors import ConfigError
from ratelimit.sources.files import legible
from ratelimit.sources.handover import Job, Receiver

# Reading the largest file that is allowed takes a quiet machine a few seconds.
READ_TIMEOUT_S = 90.0
# One node may hold texts as long as a file, and JSON escapes triple them.
LINE_BYTES_MAX = 64 * 1024 * 1024
ANSWER_BYTES_MAX = 512 * 1024 * 1024
_STDERR_BYTES_KEPT = 2_000
# The process imports the same package as this one, wherever that was started.
_IMPORT_ROOT = Path(__file__).parents[2]
_COMMAND = (sys.executable, "-m", "ratelimit.sources.reader")


@dataclass(slots=True)
class Answer:
    """How a job ended: a new `config`, or an `error`, or neither where the files are those that were known.

    `digest` stands for the files' contents; empty where the error is not about them, so that another try may help.
    `pieces` hold the nodes of the tree for `release`.
    """

    config: Config | None = None
    error: ConfigError | None = None
    digest: str = ""
    pieces: list[list[Node]] = field(default_factory=list)


async def read(
    job: Job, command: tuple[str, ...] = _COMMAND, *, response: bytes = b"", timeout_s: float = READ_TIMEOUT_S
) -> Answer:
    """Do a job in a process of its own, at most for `timeout_s`. Whatever goes wrong is in the answer.

    `response` is the DiscoveryResponse that the job is about, if it is about one.
    """
    receiver = Receiver()
    async with contextlib.AsyncExitStack() as ending:
        try:
            async with asyncio.timeout(timeout_s):
                process, stdout, stderr = await _start(command, ending)
                said = asyncio.ensure_future(_tail(stderr))
                ending.callback(said.cancel)
                telling = asyncio.ensure_future(asyncio.to_thread(_tell, process, job.line() + response))
                ending.push_async_callback(_end_telling, process, telling)
                answer = await _receive(stdout, receiver)
                code = await asyncio.to_thread(process.wait)
                if answer is None:
                    answer = _broken(job, f"ended with code {code}: {await said}")
        except TimeoutError:
            answer = _broken(job, f"did not end within {timeout_s:g} s")
        except OSError as error:
            answer = _broken(job, f"cannot be started: {error.strerror or error}")
        except (ValueError, TypeError, LookupError, RecursionError) as error:
            answer = _broken(job, f"wrote what is no answer: {type(error).__name__}")
    if answer.config is None:
        receiver.domains.clear()
        await release(receiver.pieces)
    return answer


async def release(pieces: list[list[Node]]) -> None:
    """Let go of nodes piece by piece: freeing a whole tree at once would hold the loop for many milliseconds.

    Parents come before their children, so that no node takes more with it than itself.
    """
    for piece in pieces:
        piece.clear()
        await asyncio.sleep(0)
    pieces.clear()


async def _start(
    command: tuple[str, ...], ending: contextlib.AsyncExitStack
) -> tuple[subprocess.Popen[bytes], asyncio.StreamReader, asyncio.StreamReader]:
    """Start the process, with streams of what it writes; `ending` ends all of them.

    Not with the loop's own means: uvloop forks, which copies this process's page tables and runs fork handlers, and
    those of gRPC would stop the threads that are serving. Popen's vfork does neither. And socket pairs, not pipes:
    uvloop closes a pipe that it is given twice, and the second time the number may be another thread's file.
    """
    ours, theirs = socket.socketpair()
    ours_for_errors, their_errors = socket.socketpair()
    ending.callback(ours.close)
    ending.callback(ours_for_errors.close)
    with theirs, their_errors:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - see above; our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=theirs.fileno(),
            stderr=their_errors.fileno(),
            cwd=_IMPORT_ROOT,
            start_new_session=True,  # Ctrl-C is for the service, which ends this process itself
        )
    ending.push_async_callback(_end, process)
    streams = []
    for end in (ours, ours_for_errors):
        stream, writer = await asyncio.open_connection(sock=end, limit=LINE_BYTES_MAX)
        ending.callback(writer.close)
        streams.append(stream)
    return process, streams[0], streams[1]


def _tell(process: subprocess.Popen[bytes], job: bytes) -> None:
    """Write the job, which takes a while where it is large; a process that has ended already need not read it."""
    pipe: Any = process.stdin
    with contextlib.suppress(BrokenPipeError), pipe:
        pipe.write(job)


async def _end_telling(process: subprocess.Popen[bytes], telling: "asyncio.Future[None]") -> None:
    """A process that does not read its job cannot hold the thread that writes it."""
    process.kill()
    await asyncio.wait((telling,))


async def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what still runs, and wait for its end, which comes at once then."""
    process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await asyncio.to_thread(process.wait)


async def _receive(stdout: asyncio.StreamReader, receiver: Receiver) -> Answer | None:
    """Take every line; None where the end is missing. Whatever nonsense raises here is for the caller."""
    answer, received = None, 0
    while line := await stdout.readline():
        received += len(line)
        if answer is not None or received > ANSWER_BYTES_MAX:
            raise ValueError("more than an answer")
        fields = json.loads(line)
        if "nodes" in fields:
            receiver.take(fields["nodes"])
        else:
            answer = _ended(fields, receiver)
        # A line that has arrived already is read without a pause; the others on the loop need theirs.
        await asyncio.sleep(0)
    return answer


def _ended(fields: Any, receiver: Receiver) -> Answer:
    if "loaded" in fields:
        config = Config(receiver.domains, tuple(fields["warnings"]), receiver.limits)
        return Answer(config, digest=fields["loaded"], pieces=receiver.pieces)
    if "failed" in fields:
        return Answer(error=ConfigError(**fields["failed"]), digest=fields["digest"])
    if "unchanged" in fields:
        return Answer()
    raise ValueError("no such end")


def _broken(job: Job, reason: str) -> Answer:
    return Answer(error=ConfigError(f"the process that reads it {reason}", file=legible(job.origin)))


async def _tail(stderr: asyncio.StreamReader) -> str:
    """The last line of what the process said, for a message."""
    kept = b""
    while read := await stderr.read(_STDERR_BYTES_KEPT):
        kept = (kept + read)[-_STDERR_BYTES_KEPT:]
    lines = kept.decode("utf-8", "backslashreplace").split("\n")
    return next((legible(line) for line in reversed(lines) if line.strip()), "it said nothing")
