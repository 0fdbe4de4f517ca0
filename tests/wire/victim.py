"""A client that does nothing wrong, in a process of its own: an attacker's own work must not pass for the server's.

    python -m tests.wire.victim

Told by lines of JSON. A port (and whether it speaks TLS) makes it connect, call CALLS_BEFORE times and say the 99th
percentile of how long that took; then it calls until the next line, once more after it, and says the same of these.
Each of its calls must be answered: else it ends.
"""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from tests.wire.client import WireClient, connected
from tests.wire.served import ECHO

ROOT = Path(__file__).parents[2]
CALLS_BEFORE = 200
PAUSE_S = 0.001


class Victim:
    """The process, as a test sees it."""

    def __init__(self) -> None:
        command = (sys.executable, "-m", "tests.wire.victim")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    async def meet(self, port: int, *, tls: bool) -> float:
        """Have it call a server; the 99th percentile of its calls so far, in seconds."""
        return await self._told({"port": port, "tls": tls})

    async def leave(self) -> float:
        """End that; the 99th percentile of its calls since, in seconds."""
        return await self._told("leave")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    async def _told(self, line: object) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        answer = await asyncio.to_thread(self._process.stdout.readline)
        assert answer, "a call of the victim's was not answered as it should"
        return float(answer)


async def call(client: WireClient, number: int) -> float:
    """One call, which must be answered; how long it took in seconds."""
    begin = time.perf_counter()
    text = b"%d" % number
    reply = await client.answered(await client.call(ECHO, text))
    assert (reply.grpc_status, reply.messages) == (0, [text]), reply
    client.replies.clear()
    client.frames.clear()
    return time.perf_counter() - begin


def p99(latencies_s: list[float]) -> float:
    """The 99th percentile."""
    return sorted(latencies_s)[len(latencies_s) * 99 // 100]


def say(latency_s: float) -> None:
    """One line back."""
    sys.stdout.write(f"{latency_s}\n")
    sys.stdout.flush()


async def suffer(port: int, *, tls: bool, lines: asyncio.StreamReader) -> None:
    """Call one server, from one line to the next."""
    async with connected(port, tls=tls) as client:
        await client.open()
        say(p99([await call(client, number) for number in range(CALLS_BEFORE)]))
        latencies_s: list[float] = []
        left = asyncio.ensure_future(lines.readline())
        while not left.done():
            latencies_s.append(await call(client, len(latencies_s)))
            await asyncio.sleep(PAUSE_S)
        latencies_s.append(await call(client, len(latencies_s)))
        say(p99(latencies_s))


async def main() -> None:
    """Suffer one server after the other until nobody tells of more."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        told = json.loads(line)
        await suffer(told["port"], tls=told["tls"], lines=lines)


if __name__ == "__main__":
    asyncio.run(main())
