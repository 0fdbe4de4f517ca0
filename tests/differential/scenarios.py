"""Random scenarios on our server and on the reference's, and everything that a user can see compared.

Compared are, per request, the status code, the whole answer with its headers and metadata, and every fifth time the
answer of /json; per run of 20 scenarios, every key in the store with its count, every line of /rlconfig, and every
counter that statsd was told. What may differ is listed in `EXPECTED`, with its reason.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc.aio
from google.protobuf import json_format

from deploy.demo.processes import LOOPBACK
from loadtest.header_blocks import PATH
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from tests.differential.generated import VARIANTS, Scenario, scenario
from tests.differential.servers import Running, both

TOGETHER = 20
# A run takes a few seconds and must not see a minute end.
MINUTE_S = 60
RUN_S_MAX = 15
# Counters that only one of the two has, or that count time.
EXPECTED = (
    "ratelimit.go.",  # Go's runtime
    "runtime.",  # of the library that it reads files with
    "ratelimit.redis_pool.",  # connections: ours has one
    "ratelimit_server.Check.",  # health checks
    "ratelimit.http.",  # ours only
    "ratelimit.grpc.",  # ours only
    "ratelimit.store.",  # ours only
    "ratelimit.metrics.",  # ours only
)


@dataclass(slots=True)
class Verdict:
    """What was compared, and what differed."""

    requests: int = 0
    scenarios: int = 0
    differences: list[str] = field(default_factory=list)

    def hold(self, what: str, ours: object, reference: object) -> None:
        """Note where the two differ."""
        if ours != reference:
            self.differences.append(f"{what}\n  ours:      {ours}\n  reference: {reference}")


async def compare(peer: Path, scenarios: Sequence[Scenario], environ: dict[str, str], verdict: Verdict) -> None:
    """One run: all scenarios in one configuration."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "config")
        folder.mkdir()
        for each in scenarios:
            (folder / f"{each.domain}.yaml").write_text(each.text)
        async with both(peer, Path(scratch), environ) as servers, aiohttp.ClientSession() as http:
            left_s = MINUTE_S - time.time() % MINUTE_S
            if left_s < RUN_S_MAX:
                await asyncio.sleep(left_s)
            for each in scenarios:
                for number, request in enumerate(each.requests):
                    ask = asked_as_json if number % 5 == 4 else asked
                    ours, reference = [await ask(server, request, http) for server in servers]
                    verdict.hold(f"{environ} {each.domain} request {number}: {short(request)}", ours, reference)
                    verdict.requests += 1
                verdict.scenarios += 1
            await compare_traces(servers, http, verdict, environ)


async def compare_traces(
    servers: Sequence[Running], http: aiohttp.ClientSession, verdict: Verdict, environ: dict[str, str]
) -> None:
    """What the requests left behind."""
    for server in servers:
        await server.statsd.quiet()
    keys = [await server.keys() for server in servers]
    for key in sorted(keys[0].keys() | keys[1].keys()):
        # A look creates a counter of 0 there, and none here.
        verdict.hold(f"{environ} key {key!r}", keys[0].get(key, b"0"), keys[1].get(key, b"0"))
    counters = [server.statsd.counters for server in servers]
    for name in sorted(counters[0].keys() | counters[1].keys()):
        if not name.startswith(EXPECTED):
            verdict.hold(f"{environ} counter {name}", counters[0][name], counters[1][name])
    pages = [await page(server, http) for server in servers]
    for line in sorted(pages[0] ^ pages[1]):
        verdict.hold(f"{environ} /rlconfig", line in pages[0] and line, line in pages[1] and line)


async def asked(server: Running, request: rls_pb2.RateLimitRequest, _: aiohttp.ClientSession) -> object:
    """The answer over gRPC."""
    call: Any = server.channel.unary_unary(
        PATH,
        request_serializer=rls_pb2.RateLimitRequest.SerializeToString,
        response_deserializer=rls_pb2.RateLimitResponse.FromString,
    )
    try:
        answer = await call(request, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code().name, error.details()
    return normal(json_format.MessageToDict(answer))


async def asked_as_json(server: Running, request: rls_pb2.RateLimitRequest, http: aiohttp.ClientSession) -> object:
    """The answer of /json."""
    body = json_format.MessageToJson(request)
    async with http.post(f"http://{LOOPBACK}:{server.instance.http}/json", data=body) as answer:
        text = await answer.text()
        told = text if answer.status == 400 else normal(json.loads(text))
        return answer.status, answer.headers.get("Content-Type"), told


async def page(server: Running, http: aiohttp.ClientSession) -> set[str]:
    """The lines of /rlconfig."""
    async with http.get(f"http://{LOOPBACK}:{server.instance.debug}/rlconfig") as answer:
        return set((await answer.text()).splitlines())


def normal(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what the second of its making decides."""
    for status in answer.get("statuses", ()):
        if "durationUntilReset" in status:
            status["durationUntilReset"] = "there"
    for header in answer.get("responseHeadersToAdd", ()):
        if header["key"] == "RateLimit-Reset":
            header["value"] = "there"
    return answer


def short(request: rls_pb2.RateLimitRequest) -> str:
    """A request on one line."""
    return json.dumps(json_format.MessageToDict(request), ensure_ascii=False)


async def scenarios(peer: Path, count: int, first: int) -> list[str]:
    """What differed in so many scenarios, from one on; tells how far it is."""
    verdict = Verdict()
    for run, start in enumerate(range(first, first + count, TOGETHER)):
        variant = VARIANTS[run % len(VARIANTS)]
        # A small override poisons the reference's local cache for the larger limit of the same counter.
        overrides = "LOCAL_CACHE_SIZE_IN_BYTES" not in variant
        seeds = range(start, min(start + TOGETHER, first + count))
        await compare(peer, [scenario(seed, overrides=overrides) for seed in seeds], variant, verdict)
        told = f"{verdict.scenarios} scenarios, {verdict.requests} requests, {len(verdict.differences)} differences"
        sys.stdout.write(f"{told}\n")
        sys.stdout.flush()
    return verdict.differences
