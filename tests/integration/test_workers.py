import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
import psutil
import pytest
import pytest_asyncio

from deploy.demo.processes import LOOPBACK, Instance, config_map, start_service, start_valkey
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.workers.process import TELL_S

pytestmark = pytest.mark.integration
PATH = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
CLIENTS = 16
# What a killed worker had not told: a second of its share is far more than the quarter that is promised.
LOST_MAX = 2_000
ONE, TWO = 1_000_000, 2_000_000
HITS = "ratelimit.service.rate_limit.d.k.total_hits"
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


def config(requests_per_unit: int) -> str:
    """A limit that is not reached, and by which a generation is known."""
    return f"domain: d\ndescriptors: [{{key: k, rate_limit: {{unit: year, requests_per_unit: {requests_per_unit}}}}}]"


def request() -> bytes:
    """One hit."""
    message = rls_pb2.RateLimitRequest(domain="d", hits_addend=1)
    message.descriptors.add().entries.add(key="k", value="")
    return bytes(message.SerializeToString())


REQUEST = request()


class Service:
    """An instance with workers, and who looks at it and calls it."""

    def __init__(self, instance: Instance, session: aiohttp.ClientSession) -> None:
        self.instance = instance
        self.address = f"{LOOPBACK}:{instance.grpc_port}"
        self.process = psutil.Process(instance.program.process.pid)
        self.stats = instance.stats
        self._session = session

    @property
    def log(self) -> str:
        """What it said so far."""
        return self.instance.program.log.read_text()

    def family(self) -> list[psutil.Process]:
        """The supervisor and all that it started."""
        return [self.process, *self.process.children(recursive=True)]

    async def workers(self) -> list[psutil.Process]:
        """The processes that take calls, with a listener on the gRPC port."""
        found = []
        for child in self.process.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                ports = {one.laddr.port for one in child.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
                found += [child] if self.instance.grpc_port in ports else []
        return found

    async def json(self) -> tuple[int, str]:
        """One hit by /json."""
        body = '{"domain": "d", "descriptors": [{"entries": [{"key": "k"}]}]}'
        async with self._session.post(f"http://{LOOPBACK}:{self.instance.http_port}/json", data=body) as answer:
            return answer.status, await answer.text()

    async def until_stats(self, **wanted: float) -> None:
        """Wait until stats of the workers are so."""
        async with asyncio.timeout(60):
            while True:
                stats = await self.stats()
                if all(stats[f"ratelimit.workers.{name}"] == number for name, number in wanted.items()):
                    return
                await asyncio.sleep(0.02)


class Load:
    """Clients on connections of their own, so that every worker has some; `address` as gRPC names it."""

    def __init__(self, address: str, *, patient: bool = False) -> None:
        self._patient = patient
        self._channels = [grpc.aio.insecure_channel(address, OWN_CONNECTION) for _ in range(CLIENTS)]
        self.codes = Counter[grpc.StatusCode]()
        self.limits = set[int]()
        self._ended = asyncio.Event()
        self._ended_calls = [0] * CLIENTS
        self._clients = [asyncio.ensure_future(self._client(*each)) for each in enumerate(self._channels)]

    async def _client(self, number: int, channel: grpc.aio.Channel) -> None:
        ask: Any = channel.unary_unary(PATH)
        while not self._ended.is_set():
            call = ask(REQUEST, timeout=20, wait_for_ready=self._patient)
            with contextlib.suppress(grpc.aio.AioRpcError):
                answer = rls_pb2.RateLimitResponse.FromString(await call)
                self.limits.add(answer.statuses[0].current_limit.requests_per_unit)
            code = await call.code()
            self.codes[code] += 1
            self._ended_calls[number] += 1
            if code is not grpc.StatusCode.OK:
                await asyncio.sleep(0.01)  # failures that repeat at once would fill the memory

    @property
    def answered(self) -> int:
        """How many calls had an answer."""
        return self.codes[grpc.StatusCode.OK]

    async def more(self, calls: int) -> None:
        """Wait for so many more answers."""
        wanted = self.answered + calls
        await eventually(lambda: self.answered >= wanted)

    async def all_anew(self) -> None:
        """Wait until every call that there is now has ended; what was answered up to then is forgotten."""
        before = list(self._ended_calls)
        await eventually(lambda: all(now > then for now, then in zip(self._ended_calls, before, strict=True)))
        self.limits.clear()

    async def stop(self) -> Counter[grpc.StatusCode]:
        """Let each client end its call; all codes."""
        self._ended.set()
        await asyncio.gather(*self._clients)
        await asyncio.gather(*(channel.close() for channel in self._channels))
        return self.codes


async def eventually(true: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - other processes tell nobody
            await asyncio.sleep(0.02)


class Services:
    """A store, and instances with workers on it."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.root = config_map(folder / "runtime", config(ONE))
        self._stack = stack
        self._given = {
            "RUNTIME_ROOT": str(self.root), "RUNTIME_WATCH_ROOT": "false", "RUNTIME_IGNOREDOTFILES": "true",
            "REDIS_SOCKET_TYPE": "tcp", "REDIS_TIMEOUT": "10s", "DRAIN_DELAY": "200ms",
        }  # fmt: skip

    async def start(self, name: str, workers: int, **environ: str) -> Service:
        """One more instance; all of its workers take calls."""
        if "REDIS_URL" not in self._given:
            store, port = await start_valkey(self.folder)
            self._stack.push_async_callback(store.stop, 9)
            self._given["REDIS_URL"] = f"{LOOPBACK}:{port}"
        instance = await start_service(name, self.folder, {**self._given, "WORKERS": str(workers), **environ})
        self._stack.push_async_callback(instance.program.stop, 9)
        service = Service(instance, await self._stack.enter_async_context(aiohttp.ClientSession()))
        await service.until_stats(alive=workers)
        return service


@pytest_asyncio.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    """None yet."""
    async with AsyncExitStack() as stack:
        yield Services(tmp_path, stack)


async def test_a_killed_worker_comes_back_and_a_reload_reaches_all(services: Services) -> None:
    """One of four under load: only calls in flight on it fail, and no number falls. All answer by one generation.

    The clients wait for a connection: those that are queued at a killed listener are reset by the kernel.
    """
    service = await services.start("service", 4)
    load = Load(service.address, patient=True)
    await load.more(200)
    victim, numbers = (await service.workers())[0], [(await service.stats()).get(HITS, 0)]
    victim.kill()
    while (stats := await service.stats())["ratelimit.workers.restarts"] == 0 or stats["ratelimit.workers.alive"] < 4:
        numbers.append(stats.get(HITS, 0))
        await asyncio.sleep(0.02)
    await load.more(200)
    assert load.limits == {ONE}
    config_map(services.root, config(TWO), "2")
    await eventually(lambda: '"configuration in force in all workers" generation=2 workers=4' in service.log)
    await load.all_anew()
    await load.more(200)
    assert load.limits == {TWO}
    codes = await load.stop()
    await asyncio.sleep(2 * TELL_S)
    numbers.append((await service.stats()).get(HITS, 0))
    assert numbers == sorted(numbers)
    assert codes[grpc.StatusCode.OK] - LOST_MAX <= numbers[-1] <= codes.total()
    assert codes.total() - codes[grpc.StatusCode.OK] <= CLIENTS
    assert len(await service.workers()) == 4
    assert not victim.is_running()
    assert '"requestsPerUnit":2000000' in (await service.json())[1]


async def test_a_drain_fails_no_call(services: Services) -> None:
    """One of two instances with two workers each ends under load: every call is answered, and nothing is left."""
    both = [await services.start(f"service-{number}", 2) for number in (1, 2)]
    load = Load("ipv4:" + ",".join(service.address for service in both))
    await load.more(500)
    family = both[0].family()
    assert await both[0].instance.program.stop() == 0
    await load.more(500)
    assert list(await load.stop()) == [grpc.StatusCode.OK]
    assert [process for process in family if process.is_running()] == []


async def test_a_second_signal_ends_at_once(services: Services) -> None:
    """Whoever is in a hurry says it twice; the first was heard by every worker."""
    service = await services.start("service", 2, DRAIN_DELAY="1h")
    family = service.family()
    service.process.terminate()
    await eventually(lambda: service.log.count("draining") == 3)
    assert await service.instance.program.stop() == 0
    assert [process for process in family if process.is_running()] == []


async def test_workers_end_by_themselves_when_their_supervisor_is_killed(services: Services) -> None:
    """They drain, so that no orphan keeps the port and no call fails before; the spare ends too."""
    service = await services.start("service", 2, DRAIN_DELAY="500ms")
    orphans = service.family()[1:]
    async with grpc.aio.insecure_channel(service.address) as channel:
        ask: Any = channel.unary_unary(PATH)
        await ask(REQUEST)
        service.process.kill()
        await eventually(lambda: service.log.count("draining") == 2)
        await ask(REQUEST)
    gone, alive = await asyncio.to_thread(psutil.wait_procs, orphans, 60)
    assert (len(gone), alive) == (len(orphans), [])
    socket.create_server((LOOPBACK, service.instance.grpc_port)).close()


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"BACKEND_TYPE": "memory"}, "BACKEND_TYPE: memory counts in one process only, and WORKERS is 2"),
        ({"GRPC_HOST": "192.0.2.1"}, "192.0.2.1:"),
        ({"GRPC_SERVER_USE_TLS": "true", "GRPC_SERVER_TLS_CERT": "/no", "GRPC_SERVER_TLS_KEY": "/no"}, "/no"),
    ],
)
async def test_what_no_worker_can_do_ends_the_start(tmp_path: Path, environ: dict[str, str], reason: str) -> None:
    """Exit code 1 with the reason, as without workers, and no endless restarts."""
    root = config_map(tmp_path / "runtime", config(ONE))
    given = {"WORKERS": "2", "RUNTIME_ROOT": str(root), "RUNTIME_IGNOREDOTFILES": "true", **environ}
    instance = await start_service("service", tmp_path, given, wait_serving=False)
    assert await asyncio.wait_for(instance.program.process.wait(), 60) == 1
    said = instance.program.log.read_text()
    assert reason in said.splitlines()[-1]
    assert "Traceback" not in said
