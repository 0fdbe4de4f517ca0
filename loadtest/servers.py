"""The servers under measurement: started on free ports and one core, and what they cost."""

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import psutil

from deploy.demo.processes import LOOPBACK, free_port, start, start_valkey, until
from loadtest.answers import LoadFailedError
from loadtest.header_blocks import PATH
from loadtest.request_frames import request
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2

SERVER_CORE, CLIENT_CORE = 0, 1
OURS, PEER, PROOF = "ours", "peer", "proof"
# What EXTRA may name: ours in other ways, beside the way it comes.
# "tracing" wants a collector: `python -m loadtest.collector`.
EXTRAS = {
    "grpcio": {"GRPC_TRANSPORT": "grpcio"},
    "memory": {"BACKEND_TYPE": "memory"},
    "tracing": {"TRACING_ENABLED": "true", "TRACING_SAMPLING_RATE": "0.01"},
}
OURS_COMMAND = [sys.executable, "-m", "ratelimit"]
OWN_FOLDER = "ours"
# The client saturates the core that the store shares: deadlines of the store are not what is measured.
OURS_ENVIRON = {"RUNTIME_SUBDIRECTORY": OWN_FOLDER, "REDIS_TIMEOUT": "2s", "DRAIN_DELAY": "0"}
_ENVIRON = {
    "RUNTIME_WATCH_ROOT": "false",
    "RUNTIME_IGNOREDOTFILES": "true",
    "REDIS_SOCKET_TYPE": "tcp",
    "USE_STATSD": "false",
    "USE_PROMETHEUS": "false",
    "LOG_LEVEL": "error",
    "LOCAL_CACHE_SIZE_IN_BYTES": str(1024 * 1024),
    "BACKEND_TYPE": "redis",
}


@dataclass(frozen=True, slots=True)
class Program:
    """How one server is started. A `bare` one takes its port and that of Redis as arguments."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """The CPU time of its process and of all below it, those that ended included. Raises LoadFailedError."""
        return sum(self._each(lambda process: sum(process.cpu_times()[:4])))

    def rss_mb(self) -> float:
        """The memory of its largest process: that of a worker where there are several. Raises LoadFailedError."""
        return max(self._each(lambda process: process.memory_info().rss)) / 1e6

    def _each(self, read: Callable[[psutil.Process], float]) -> list[float]:
        try:
            top = psutil.Process(self.pid)
            found, below = [read(top)], top.children(recursive=True)
        except psutil.NoSuchProcess:
            raise LoadFailedError(f"{self.name} has ended") from None
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):  # its time is counted with its parent now
                found.append(read(process))
        return found


def programs(environ: Mapping[str, str]) -> list[Program]:
    """What the environment asks for: ours first, its EXTRA ways, PEER_CMD, PROOF_CMD. Raises ValueError."""
    extras = [name for name in environ.get("EXTRA", "").split(",") if name]
    if unknown := set(extras) - set(EXTRAS):
        raise ValueError(f"EXTRA: {', '.join(sorted(unknown))} is not one of {', '.join(EXTRAS)}")
    found = [Program(OURS, OURS_COMMAND, OURS_ENVIRON)]
    found += [Program(f"{OURS}-{name}", OURS_COMMAND, {**OURS_ENVIRON, **EXTRAS[name]}) for name in extras]
    if environ.get("PEER_CMD"):
        found.append(Program(PEER, shlex.split(environ["PEER_CMD"]), {"GOMAXPROCS": "1"}))
    proof = environ.get("PROOF_CMD") or f"{shlex.quote(sys.executable)} -m loadtest.bare_server"
    return [*found, Program(PROOF, shlex.split(proof), {}, bare=True)]


def pinned(core: int) -> list[str]:
    """The prefix that pins a program to a core, where that is possible."""
    possible = shutil.which("taskset") and (os.cpu_count() or 1) > 1
    return ["taskset", "-c", str(core)] if possible else []


async def start_store(stack: AsyncExitStack, folder: Path) -> int:
    """An embedded Valkey on the core of the client; its port."""
    valkey, port = await start_valkey(folder)
    stack.push_async_callback(valkey.stop)
    if pinned(CLIENT_CORE):
        os.sched_setaffinity(valkey.process.pid, {CLIENT_CORE})
    return port


async def start_server(stack: AsyncExitStack, program: Program, folder: Path, store_port: int) -> Server:
    """Start it on free ports and wait until it answers."""
    ports = {variable: str(free_port()) for variable in ("GRPC_PORT", "PORT", "DEBUG_PORT")}
    environ = {
        **_ENVIRON,
        **ports,
        **dict.fromkeys(("GRPC_HOST", "HOST", "DEBUG_HOST"), LOOPBACK),
        "RUNTIME_ROOT": str(folder),
        "REDIS_URL": f"{LOOPBACK}:{store_port}",
        **program.environ,
    }
    arguments = [ports["GRPC_PORT"], str(store_port)] if program.bare else []
    command = [*pinned(SERVER_CORE), *program.command, *arguments]
    started = await start(program.name, command, folder, environ)
    stack.push_async_callback(started.stop, 9)
    server = Server(program.name, int(ports["GRPC_PORT"]), started.process.pid)
    await until(started, lambda: answers(server.port), "answering")
    return server


async def answers(port: int) -> bool:
    """Whether a rate limit service on that port answers a request of one descriptor with one status."""
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        try:
            method: Any = channel.unary_unary(PATH)
            answer = await method(request(), timeout=2)
        except grpc.aio.AioRpcError:
            return False
    return len(rls_pb2.RateLimitResponse.FromString(answer).statuses) == 1
