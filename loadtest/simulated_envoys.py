"""Envoys without Envoy: token buckets that report on streams of their own connections, as Envoy 1.40 does."""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc.aio

from deploy.demo.quota import NAME
from loadtest.quota_wire import PATH
from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2

DOMAIN, KEY, VALUE = "example", "service", "a"
REPORT_S = 5.0
STEP_S = 0.02
# A connection for each channel, as between processes; one that cannot be made is told at once.
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


class SimulatedEnvoy:
    """One bucket: `rate` requests per second want to pass, each at its own moment. Without an assignment all do."""

    def __init__(self, rate: float, admitted: list[float], began_s: float) -> None:
        self._rate = rate
        self._admitted = admitted
        self._assigned: tuple[int, int] | None = None
        self._tokens = 0.0
        self._expires_s = float("inf")
        self._allowed = self._denied = 0
        self._filled_s = self._reported_s = began_s
        self._next_s = began_s + random.expovariate(rate)

    @property
    def wanted_something(self) -> bool:
        """Whether it has seen a request since its last report."""
        return self._allowed + self._denied > 0

    def step(self, now_s: float) -> None:
        """The requests until now, each at its own moment, however late this is called."""
        while self._next_s <= now_s:
            self._ask(self._next_s)
            self._next_s += random.expovariate(self._rate)

    def _ask(self, at_s: float) -> None:
        if self._assigned is not None:
            most, per_minute = self._assigned
            self._tokens = min(float(most), self._tokens + per_minute / 60 * (at_s - self._filled_s))
            self._filled_s = at_s
            if at_s > self._expires_s or self._tokens < 1:
                self._denied += 1
                return
            self._tokens -= 1
        self._allowed += 1
        self._admitted.append(at_s)

    def first_report(self, now_s: float) -> bytes:
        """A new bucket is reported at once, with one request."""
        self._reported_s = now_s
        self._allowed -= 1
        return _report(1, 0, 0)

    def report(self, now_s: float) -> bytes:
        """What was counted since the last report, serialised."""
        message = _report(self._allowed, self._denied, int(now_s - self._reported_s + 1e-6))
        self._reported_s = now_s
        self._allowed = self._denied = 0
        return message

    def hear(self, message: bytes, now_s: float) -> None:
        """Obey a serialised response."""
        self.step(now_s)
        for action in rlqs_pb2.RateLimitQuotaResponse.FromString(message).bucket_action:
            assignment = action.quota_assignment_action
            bucket = assignment.rate_limit_strategy.token_bucket
            told = (bucket.max_tokens, bucket.tokens_per_fill.value)
            if told != self._assigned or now_s > self._expires_s:
                self._assigned, self._tokens, self._filled_s = told, float(bucket.max_tokens), now_s
            self._expires_s = now_s + assignment.assignment_time_to_live.seconds


class Reporter:
    """The stream of one Envoy. One that ended is made anew at the next report, to the next of the servers."""

    def __init__(self, envoy: SimulatedEnvoy, ports: Sequence[int], name: str = "") -> None:
        self._envoy = envoy
        # Which is asked first, and then in turns.
        self._ports = list(ports)
        self._metadata = ((NAME, name),) if name else ()
        self._messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._talk: asyncio.Task[None] | None = None
        self.streams = 0

    async def run(self, ended: asyncio.Event) -> None:
        """Report and obey until the end."""
        due_s, known = time.monotonic() + random.uniform(0, REPORT_S), False
        try:
            while not ended.is_set():
                now_s = time.monotonic()
                self._envoy.step(now_s)
                if not known and self._envoy.wanted_something:
                    known = True
                    self._send(self._envoy.first_report(now_s))
                if now_s >= due_s:
                    due_s += REPORT_S
                    if known:
                        self._send(self._envoy.report(now_s))
                await asyncio.sleep(STEP_S)
        finally:
            await self._hang_up()

    def _send(self, message: bytes) -> None:
        if self._talk is None or self._talk.done():
            # What the old stream did not take is lost, as at Envoy.
            self._messages = asyncio.Queue()
            self._talk = asyncio.ensure_future(self._talk_to(self._ports[0], self._messages))
            self._ports.append(self._ports.pop(0))
            self.streams += 1
        self._messages.put_nowait(message)

    async def _talk_to(self, port: int, messages: asyncio.Queue[bytes]) -> None:
        """One stream, until either end is gone."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
            method: Any = channel.stream_stream(PATH)
            stream = method(metadata=self._metadata)
            writing = asyncio.ensure_future(_write(stream, messages))
            try:
                with suppress(grpc.aio.AioRpcError):
                    async for message in stream:
                        self._envoy.hear(message, time.monotonic())
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)

    async def _hang_up(self) -> None:
        if self._talk is not None:
            self._talk.cancel()
            await asyncio.gather(self._talk, return_exceptions=True)


class SimulatedFleet:
    """Envoys that want so many requests a second each, spread over servers; `named` say who they are."""

    def __init__(self, ports: Sequence[int], rates: Sequence[float], *, named: bool) -> None:
        self.admitted: list[float] = []
        began_s = time.monotonic()
        self.reporters = [
            Reporter(
                SimulatedEnvoy(rate, self.admitted, began_s),
                [*ports[number % len(ports) :], *ports[: number % len(ports)]],
                f"envoy-{number}" if named else "",
            )
            for number, rate in enumerate(rates)
        ]
        self._began_s = self._ended_s = began_s

    async def run(self, seconds: float) -> None:
        """Run all for so long."""
        ended = asyncio.Event()
        self._began_s = time.monotonic()
        async with asyncio.TaskGroup() as running:
            for reporter in self.reporters:
                running.create_task(reporter.run(ended))
            await asyncio.sleep(seconds)
            self._ended_s = time.monotonic()
            ended.set()

    def span(self, settled_s: float) -> tuple[float, float]:
        """The moments between which it counts."""
        return self._began_s + settled_s, self._ended_s


async def _write(stream: Any, messages: asyncio.Queue[bytes]) -> None:
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        while True:
            await stream.write(await messages.get())


def _report(allowed: int, denied: int, elapsed_s: int) -> bytes:
    message = rlqs_pb2.RateLimitQuotaUsageReports(domain=DOMAIN)
    usage = message.bucket_quota_usages.add(num_requests_allowed=allowed, num_requests_denied=denied)
    usage.bucket_id.bucket[KEY] = VALUE
    usage.time_elapsed.seconds = elapsed_s
    return message.SerializeToString()
