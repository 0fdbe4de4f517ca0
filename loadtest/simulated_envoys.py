"""Envoys without Envoy: token buckets that report on streams of their own connections, as Envoy 1.40 does."""

import asyncio
import random
import time
from typing import Any

import grpc.aio

from ratelimit.pb.envoy.service.rate_limit_quota.v3 import rlqs_pb2

METHOD = "/envoy.service.rate_limit_quota.v3.RateLimitQuotaService/StreamRateLimitQuotas"
REPORT_S = 5.0
STEP_S = 0.02
# A connection for each channel, as between processes.
OPTIONS = [("grpc.use_local_subchannel_pool", 1)]


class SimulatedEnvoy:
    """One: `rate` requests per second want to pass. Everything passes until it is told something."""

    def __init__(self, rate: float, admitted: list[float]) -> None:
        self._rate = rate
        self._admitted = admitted
        self._assigned: tuple[int, int] | None = None
        self._tokens = 0.0
        self._expires_s = float("inf")
        self._allowed = self._denied = 0

    async def run(self, port: int, ended: asyncio.Event) -> None:
        """Report and obey until the end."""
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
            method: Any = channel.stream_stream(METHOD)
            stream = method()
            hearing = asyncio.ensure_future(self._hear(stream))
            reported_s = time.monotonic() - random.uniform(0, REPORT_S)
            before_s, first = time.monotonic(), True
            while not ended.is_set():
                now_s = time.monotonic()
                self._step(now_s, now_s - before_s)
                before_s = now_s
                if first and self._allowed:
                    await stream.write(self._report(0))
                    first = False
                elif not first and now_s - reported_s >= REPORT_S:
                    reported_s += REPORT_S
                    await stream.write(self._report(int(REPORT_S)))
                await asyncio.sleep(STEP_S)
            hearing.cancel()
            stream.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    def _step(self, now_s: float, step_s: float) -> None:
        """The requests of so long, at their own moments."""
        wanted = self._rate * step_s
        count = int(wanted) + (random.random() < wanted % 1)
        if self._assigned is None:
            self._admit(count, now_s)
            return
        most, per_minute = self._assigned
        if now_s > self._expires_s:
            most, per_minute = 1, 0
        self._tokens = min(float(most), self._tokens + per_minute / 60 * step_s)
        passing = min(count, int(self._tokens))
        self._tokens -= passing
        self._denied += count - passing
        self._admit(passing, now_s)

    def _admit(self, count: int, now_s: float) -> None:
        self._allowed += count
        self._admitted.extend([now_s] * count)

    def _report(self, elapsed_s: int) -> bytes:
        message = rlqs_pb2.RateLimitQuotaUsageReports(domain="example")
        usage = message.bucket_quota_usages.add(num_requests_allowed=self._allowed, num_requests_denied=self._denied)
        if not elapsed_s:
            usage.num_requests_allowed, usage.num_requests_denied = 1, 0
        usage.bucket_id.bucket["service"] = "a"
        usage.time_elapsed.seconds = elapsed_s
        self._allowed -= usage.num_requests_allowed
        self._denied -= usage.num_requests_denied
        return message.SerializeToString()

    async def _hear(self, stream: Any) -> None:
        async for message in stream:
            for action in rlqs_pb2.RateLimitQuotaResponse.FromString(message).bucket_action:
                assignment = action.quota_assignment_action
                bucket = assignment.rate_limit_strategy.token_bucket
                told = (bucket.max_tokens, bucket.tokens_per_fill.value)
                if told != self._assigned:
                    self._assigned, self._tokens = told, float(bucket.max_tokens)
                self._expires_s = time.monotonic() + assignment.assignment_time_to_live.seconds


class SimulatedFleet:
    """So many Envoys whose demands are to each other as 1 : 2 : 3 …, and twice the limit together."""

    def __init__(self, port: int, envoys: int, limit_per_s: float) -> None:
        self.admitted: list[float] = []
        self._port = port
        unit = 2 * limit_per_s / (envoys * (envoys + 1) / 2)
        self._envoys = [SimulatedEnvoy(unit * (number + 1), self.admitted) for number in range(envoys)]
        self._began_s = self._ended_s = 0.0

    async def run(self, seconds: float) -> None:
        """Run all for so long."""
        ended = asyncio.Event()
        self._began_s = time.monotonic()
        running = asyncio.gather(*(envoy.run(self._port, ended) for envoy in self._envoys))
        await asyncio.sleep(seconds)
        self._ended_s = time.monotonic()
        ended.set()
        await running

    def span(self, settled_s: float) -> tuple[float, float]:
        """The moments between which it counts."""
        return self._began_s + settled_s, self._ended_s
