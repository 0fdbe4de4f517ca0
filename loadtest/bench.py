"""`make bench`: requests per second of the service, side by side in one run.

Servers are pinned to core 0, client and store to core 1 where there are two. Each shape is `clients x streams`. The
client is h2load where it is installed (Debian: nghttp2-client), else grpcio's own. With PEER_CMD, a command line that
starts another rate limit service with the environment it is given, that service is measured in the same rounds.
REQUESTS and ROUNDS size the run.
"""

import asyncio
import os
import platform
import re
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from deploy.demo.processes import LOOPBACK, config_map, free_port, run_to_the_end, start, start_valkey, until
from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2

PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
SHAPES = ((1, 1), (4, 32), (16, 16))
# One for each stream of the widest shape.
REQUESTS_MIN = 256
CONFIG = """
domain: bench
descriptors:
  - key: tier
    rate_limit: {unit: hour, requests_per_unit: 1000000000}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running service under measurement."""

    name: str
    port: int


def request() -> bytes:
    """One request of one descriptor."""
    entry = ratelimit_pb2.RateLimitDescriptor.Entry(key="tier", value="gold")
    descriptor = ratelimit_pb2.RateLimitDescriptor(entries=[entry])
    return rls_pb2.RateLimitRequest(domain="bench", descriptors=[descriptor]).SerializeToString()


def framed(message: bytes) -> bytes:
    """The message with gRPC's length prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def pinned(core: int) -> list[str]:
    """The prefix that pins a program to a core, where that is possible."""
    possible = shutil.which("taskset") and (os.cpu_count() or 1) > 1
    return ["taskset", "-c", str(core)] if possible else []


def parse_h2load(text: str, requests: int) -> float:
    """Requests per second. Raises ValueError where not every request succeeded."""
    rate = re.search(r"^finished in .*, ([\d.]+) req/s", text, re.MULTILINE)
    succeeded = re.search(r"(\d+) succeeded", text)
    if not rate or not succeeded or int(succeeded[1]) != requests:
        raise ValueError(f"h2load did not get {requests} answers:\n{text}")
    return float(rate[1])


async def measure(server: Server, clients: int, streams: int, requests: int) -> float:
    """Requests per second of one shape."""
    if shutil.which("h2load"):
        return await _h2load(server, clients, streams, requests)
    return await _grpcio(server, clients, streams, requests)


async def _h2load(server: Server, clients: int, streams: int, requests: int) -> float:
    with tempfile.NamedTemporaryFile() as body:
        body.write(framed(request()))
        body.flush()
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        shape = ["-n", str(requests), "-c", str(clients), "-m", str(streams), "-d", body.name]
        command = [*pinned(1), "h2load", *shape, *headers, f"http://{LOOPBACK}:{server.port}{PATH}"]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
    return parse_h2load(output.decode(), requests)


async def _grpcio(server: Server, clients: int, streams: int, requests: int) -> float:
    message, each = request(), requests // (clients * streams)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(f"{LOOPBACK}:{server.port}", options=options) for _ in range(clients)]

    async def one(channel: grpc.aio.Channel) -> None:
        method: Any = channel.unary_unary(PATH)
        for _ in range(each):
            await method(message)

    started = time.perf_counter()
    await asyncio.gather(*(one(channel) for channel in channels for _ in range(streams)))
    elapsed = time.perf_counter() - started
    await asyncio.gather(*(channel.close() for channel in channels))
    return each * clients * streams / elapsed


async def start_server(stack: AsyncExitStack, name: str, command: list[str], folder: Path, store_port: int) -> Server:
    """Start one service on free ports and wait until it answers."""
    ports = {variable: str(free_port()) for variable in ("GRPC_PORT", "PORT", "DEBUG_PORT")}
    environ = {
        **ports,
        **dict.fromkeys(("GRPC_HOST", "HOST", "DEBUG_HOST"), LOOPBACK),
        "RUNTIME_ROOT": str(folder / "runtime"),
        "RUNTIME_WATCH_ROOT": "false",
        "RUNTIME_IGNOREDOTFILES": "true",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"{LOOPBACK}:{store_port}",
        "USE_STATSD": "false",
        "USE_PROMETHEUS": "false",
        "LOG_LEVEL": "error",
        "BACKEND_TYPE": "memory" if name == "ours, memory" else "redis",
    }
    if name.startswith("ours"):
        # The client saturates the core that the store shares: the deadline is not what is measured.
        environ["REDIS_TIMEOUT"] = "2s"
    program = await start(name.replace(", ", "-"), [*pinned(0), *command], folder, environ)
    stack.push_async_callback(program.stop, 9)
    server = Server(name, int(ports["GRPC_PORT"]))

    async def answers() -> bool:
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{server.port}") as channel:
            try:
                method: Any = channel.unary_unary(PATH)
                answer = await method(request(), timeout=2)
            except grpc.aio.AioRpcError:
                return False
        return len(rls_pb2.RateLimitResponse.FromString(answer).statuses) == 1

    await until(program, answers, "answering")
    return server


def table(rates: dict[tuple[str, str], list[float]]) -> str:
    """The medians, and each one's ratio to the first server of its shape."""
    lines = [f"{'shape':<8}{'server':<16}{'req/s':>10}{'ratio':>8}"]
    first: dict[str, float] = {}
    for (shape, server), found in rates.items():
        median = statistics.median(found)
        first.setdefault(shape, median)
        lines.append(f"{shape:<8}{server:<16}{median:>10.0f}{median / first[shape]:>8.2f}")
    return "\n".join(lines)


def machine() -> str:
    """What the figures were measured on."""
    client = "h2load" if shutil.which("h2load") else "grpcio"
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, client {client}"


def number_of(variable: str, default: int, least: int) -> int:
    """A number from the environment. Raises ValueError naming the variable."""
    text = os.environ.get(variable, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= least):
        raise ValueError(f"{variable}: a whole number from {least} on is wanted (is {text[:100]!r})")
    return int(text)


async def main() -> int:
    """Start everything, measure in turns, print the table."""
    requests, rounds = number_of("REQUESTS", 8000, REQUESTS_MIN), number_of("ROUNDS", 3, 1)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-bench-")))
        config_map(folder / "runtime", CONFIG)
        valkey, store_port = await start_valkey(folder)
        stack.push_async_callback(valkey.stop)
        if pinned(1):
            os.sched_setaffinity(valkey.process.pid, {1})
        ours = [sys.executable, "-m", "ratelimit"]
        commands = {"ours, redis": ours, "ours, memory": ours}
        if os.environ.get("PEER_CMD"):
            commands["peer, redis"] = shlex.split(os.environ["PEER_CMD"])
        servers = [await start_server(stack, name, command, folder, store_port) for name, command in commands.items()]
        rates: dict[tuple[str, str], list[float]] = {}
        for clients, streams in SHAPES:
            many = requests // 8 if clients == 1 else requests
            for number in range(rounds):
                print(f"bench: {clients}x{streams}, round {number + 1} of {rounds}", flush=True)
                for server in servers:
                    key = (f"{clients}x{streams}", server.name)
                    rates.setdefault(key, []).append(await measure(server, clients, streams, many))
    print(f"\n{machine()}\n{table(rates)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_to_the_end(main, "bench"))
