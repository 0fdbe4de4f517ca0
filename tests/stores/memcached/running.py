"""Real memcached servers, and a store on them."""

import asyncio
import contextlib
import shutil
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.processes import LOOPBACK, Process, free_port, start, until
from ratelimit.metrics import StoreStats
from ratelimit.settings import MemcacheSettings
from ratelimit.stores.memcached.store import MemcachedStore


async def tell(port: int, command: bytes, ends: bytes = b"\r\n") -> bytes:
    """What a memcached answers, through a connection of its own."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    writer.write(command)
    answer = await reader.readuntil(ends)
    writer.close()
    await writer.wait_closed()
    return answer


async def a_handshake(port: int) -> bool:
    """Whether it speaks TLS, whatever its certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def start_memcached(folder: Path, port: int | None = None, *options: str) -> tuple[Process, int]:
    """Debian's memcached, where it is installed."""
    binary = shutil.which("memcached")
    if binary is None:
        pytest.skip("memcached is not installed (Debian: apt-get install memcached)")
    port = port or free_port()
    # It refuses to run as root without a user; as anybody else it ignores the option.
    command = [binary, "-l", LOOPBACK, "-p", str(port), "-U", "0", "-u", "nobody", "-t", "1", *options]
    program = await start(f"memcached-{port}", command, folder)

    async def accepts() -> bool:
        try:
            if "-Z" in options:
                return await a_handshake(port)
            return (await tell(port, b"version\r\n")).startswith(b"VERSION")
        except OSError:
            return False

    await until(program, accepts, "accepting")
    return program, port


async def freeze(program: Process) -> None:
    """Stop a program, and wait until each of its threads stands: that takes the kernel a moment."""
    program.process.send_signal(signal.SIGSTOP)
    tasks = Path(f"/proc/{program.process.pid}/task")
    async with asyncio.timeout(30):
        while any(each.read_text().rpartition(") ")[2][0] != "T" for each in tasks.glob("*/stat")):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Store:
    """A store and the events of its connections."""

    def __init__(self, *ports: int, **settings: Any) -> None:
        hosts = ",".join(f"{LOOPBACK}:{port}" for port in ports)
        resolve = settings.pop("resolve", None)
        given = MemcacheSettings.model_validate({"memcache_host_port": hosts, **settings})
        self.states: asyncio.Queue[bool] = asyncio.Queue()
        self.stats = StoreStats()
        more = {"resolve": resolve} if resolve else {}
        self.store = MemcachedStore(given, self.stats, self.states.put_nowait, **more)

    async def connected(self, state: bool = True) -> None:
        """Wait for the next change of the connections, which must be to `state`."""
        assert await asyncio.wait_for(self.states.get(), 30) is state
