"""The clients of a restart: each asks without end, goes where it is told to go, and tries no call again.

Connecting may be refused, as one server of two is away now and then; a call that was sent may not fail.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from loadtest.answers import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Answers, LoadFailedError, frame, opening
from loadtest.header_blocks import PATH, TABLE_SIZE_0, blocks
from loadtest.request_frames import framed, request

LOOPBACK = "127.0.0.1"
CALL_S_MAX = 20.0
REFUSED_WAIT_S = 0.02
FAILURES_MAX = 100
_BLOCK, _MESSAGE = next(blocks(changing=False)), framed(request())


class Tally:
    """Calls by client and how they went; `ended` once nobody need ask any more."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.ended = asyncio.Event()

    @property
    def calls(self) -> int:
        """All calls until now."""
        return self.answered.total() + self.failed.total()

    def failure(self, client: str, reason: object, calls: int = 1) -> None:
        """So many calls of a client failed; too many end the run, as they would only repeat."""
        self.failed[f"{client}: {reason}"] += calls
        if self.failed.total() >= FAILURES_MAX:
            self.ended.set()


class _LeavingAnswers(Answers):
    """Answers up to GOAWAY and beyond: `last` is the last stream that will be answered."""

    last = 2**31 - 1

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == GOAWAY and not any(payload[4:8]):
            self.last = int.from_bytes(payload[:4], "big")
            self.told = True
            return
        super()._control(kind, flags, stream, payload)

    told = False


class RawConnection(asyncio.Protocol):
    """One HTTP/2 connection with `streams` calls open until GOAWAY, or until `calls` were made."""

    def __init__(self, name: str, tally: Tally, streams: int, calls: float) -> None:
        self._name = name
        self._tally = tally
        self._streams = streams
        self._left = calls
        self._next = 1
        self._open: set[int] = set()
        self._answers = _LeavingAnswers(1)
        self._transport: Any = None
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # As Envoy has it: the first calls follow the preface in one write.
        self._transport = transport
        transport.write(opening() + self._calls())  # type: ignore[attr-defined] # of a stream

    def data_received(self, data: bytes) -> None:
        try:
            done = self._answers.feed(data)
        except LoadFailedError as error:
            self._fail(error)
            return
        self._open.difference_update(done)
        self._tally.answered[self._name] += len(done)
        if any(stream > self._answers.last for stream in self._open):
            self._fail("a call that crossed GOAWAY")
            return
        self._transport.write(self._answers.output + self._calls())
        self._answers.output = b""
        if not self._open:
            self._end()

    def connection_lost(self, _: Exception | None) -> None:
        if self._open:
            self._fail("the connection ended")
        self._end()

    def _calls(self) -> bytes:
        written = b""
        while (
            len(self._open) < self._streams
            and self._left > 0
            and not (self._answers.told or self._tally.ended.is_set())
        ):
            block = _BLOCK if self._next > 1 else TABLE_SIZE_0 + _BLOCK
            written += frame(HEADERS, END_HEADERS, self._next, block) + frame(DATA, END_STREAM, self._next, _MESSAGE)
            self._open.add(self._next)
            self._next += 2
            self._left -= 1
        return written

    def _fail(self, reason: object) -> None:
        self._tally.failure(self._name, reason, len(self._open))
        self._open.clear()
        self._end()

    def _end(self) -> None:
        self._transport.close()
        if not self.over.done():
            self.over.set_result(None)


async def raw_client(ports: Sequence[int], tally: Tally, name: str, *, calls: float = float("inf")) -> None:
    """Connections one after the other, in turns over the addresses; `calls` for each, without end until GOAWAY."""
    loop, streams = asyncio.get_running_loop(), 1 if calls == 1 else 8
    for port in itertools.cycle(ports):
        if tally.ended.is_set():
            return
        try:
            _, connection = await loop.create_connection(
                lambda: RawConnection(name, tally, streams, calls), LOOPBACK, port
            )
        except OSError:
            await asyncio.sleep(REFUSED_WAIT_S)
            continue
        try:
            await asyncio.wait_for(connection.over, None if calls > 1 else CALL_S_MAX)
        except TimeoutError:
            tally.failure(name, "no answer")


async def grpcio_client(channel: grpc.aio.Channel, tally: Tally, name: str) -> None:
    """One call after the other on a channel."""
    ask: Any = channel.unary_unary(PATH)
    message = request()
    while not tally.ended.is_set():
        call = ask(message, timeout=CALL_S_MAX)
        code = await call.code()
        if code is grpc.StatusCode.OK:
            tally.answered[name] += 1
        else:
            tally.failure(name, f"{code.name}: {await call.details()}")


async def watching_client(channel: grpc.aio.Channel, tally: Tally) -> None:
    """A health Watch that is open all the time: it ends with UNAVAILABLE when its server goes, and begins again."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    while not tally.ended.is_set():
        with contextlib.suppress(grpc.aio.AioRpcError):
            watch = stub.Watch(health_pb2.HealthCheckRequest(service="ratelimit"))
            async for _ in watch:
                tally.answered["watch"] += 1
        await asyncio.sleep(REFUSED_WAIT_S)


async def http_client(session: aiohttp.ClientSession, port: int, tally: Tally) -> None:
    """One request after the other through an Envoy that asks the service for each."""
    while not tally.ended.is_set():
        async with session.get(f"http://{LOOPBACK}:{port}/", headers={"x-loyalty": "gold"}) as response:
            if response.status in {200, 429}:
                tally.answered["envoy"] += 1
            else:
                tally.failure("envoy", response.status)


@contextlib.asynccontextmanager
async def load(ports: Sequence[int], envoy_port: int, tally: Tally) -> AsyncIterator[None]:
    """Every kind of client at work while entered; they end, and are waited for, after `tally.ended`."""
    addresses = "ipv4:" + ",".join(f"{LOOPBACK}:{port}" for port in ports)
    policies = [
        (("grpc.use_local_subchannel_pool", 1), ("grpc.lb_policy_name", n)) for n in ("pick_first", "round_robin")
    ]
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(addresses, options)) for options in policies * 2
        ]
        for channel in channels:
            await channel.channel_ready()
        clients = [grpcio_client(channel, tally, "grpcio") for channel in channels for _ in range(2)]
        clients += [http_client(session, envoy_port, tally) for _ in range(8)]
        clients += [raw_client(order, tally, "raw") for order in (ports, ports[::-1])]
        clients += [raw_client(ports, tally, "late", calls=1) for _ in range(4)]
        tasks = [asyncio.ensure_future(client) for client in clients]
        watch = asyncio.ensure_future(watching_client(channels[0], tally))
        try:
            yield
            tally.ended.set()
            await asyncio.gather(*tasks)
        finally:
            for task in (watch, *tasks):
                task.cancel()
            await asyncio.gather(watch, *tasks, return_exceptions=True)
