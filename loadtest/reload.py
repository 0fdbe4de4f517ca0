"""`make bench-reload`: two instances that reload a large configuration again and again, under load.

Each has DESCRIPTORS descriptors (20,000), swapped every 5 s as a ConfigMap is, RELOADS times (6); a client keeps a few
calls open on each all the time. Printed are the lags of the instances' event loops and the calls that failed.
"""

import asyncio
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from deploy.demo.processes import LOOPBACK, Process, config_map, start_service, start_valkey
from loadtest.header_blocks import PATH
from loadtest.request_frames import request
from loadtest.sizes import number_of

RELOAD_EVERY_S = 5.0
OPEN_CALLS = 4


@dataclass(slots=True)
class Instance:
    """One running service, and what the client saw of it."""

    program: Process
    port: int
    lags: Path
    answered: int = 0
    failed: list[str] = field(default_factory=list)


def configuration(descriptors: int, requests_per_unit: int) -> str:
    """The limit that the client asks for, and many others."""
    limit = f"rate_limit: {{unit: hour, requests_per_unit: {requests_per_unit}}}"
    rows = [f"  - {{key: tenant, value: t{number}, {limit}}}\n" for number in range(descriptors - 1)]
    return f"domain: bench\ndescriptors:\n  - {{key: tier, {limit}}}\n" + "".join(rows)


async def start_instance(stack: AsyncExitStack, name: str, folder: Path, store_port: int) -> Instance:
    """Start an instance with a probe, on free ports."""
    lags = folder / f"{name}.json"
    environ = {
        "RUNTIME_ROOT": str(folder / "runtime"),
        "RUNTIME_WATCH_ROOT": "false",
        "RUNTIME_IGNOREDOTFILES": "true",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": f"{LOOPBACK}:{store_port}",
        "REDIS_TIMEOUT": "2s",  # client, store and both instances share the machine: the store is not what is measured
        "LOG_LEVEL": "warn",
        "DRAIN_DELAY": "0",
    }
    started = await start_service(name, folder, environ, module=("loadtest.probed", str(lags)))
    stack.push_async_callback(started.program.stop)
    return Instance(started.program, started.grpc_port, lags)


async def ask(instance: Instance, channel: grpc.aio.Channel, done: asyncio.Event) -> None:
    """One call after the other until `done`."""
    method: Any = channel.unary_unary(PATH)
    message = request()
    while not done.is_set():
        try:
            await method(message, timeout=5)
            instance.answered += 1
        except grpc.aio.AioRpcError as error:
            instance.failed.append(f"{error.code().name}: {error.details()}")
        await asyncio.sleep(0.005)


async def main() -> int:
    """Run, and print; 1 where a call failed."""
    descriptors, reloads = number_of("DESCRIPTORS", 20_000, 1), number_of("RELOADS", 6, 1)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ratelimit-reload-")))
        config_map(folder / "runtime", configuration(descriptors, 1_000_000))
        valkey, store_port = await start_valkey(folder)
        stack.push_async_callback(valkey.stop)
        instances = [await start_instance(stack, f"instance-{n}", folder, store_port) for n in (1, 2)]
        done = asyncio.Event()
        channels = [grpc.aio.insecure_channel(f"{LOOPBACK}:{instance.port}") for instance in instances]
        asking = [
            asyncio.ensure_future(ask(instance, channel, done))
            for instance, channel in zip(instances, channels, strict=True)
            for _ in range(OPEN_CALLS)
        ]
        for number in range(2, reloads + 2):
            await asyncio.sleep(RELOAD_EVERY_S)
            print(f"reload {number - 1} of {reloads}", flush=True)
            config_map(folder / "runtime", configuration(descriptors, 1_000_000 + number), str(number))
        await asyncio.sleep(RELOAD_EVERY_S)
        done.set()
        await asyncio.gather(*asking)
        await asyncio.gather(*(channel.close() for channel in channels))
        for instance in instances:
            await instance.program.stop()
            lags = json.loads(instance.lags.read_text())
            print(f"{instance.answered} calls answered, {len(instance.failed)} failed; lag of the loop in ms: {lags}")
            for reason in sorted(set(instance.failed)):
                print(f"  {reason}")
    return int(any(instance.failed for instance in instances))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(asyncio.run(main()))
