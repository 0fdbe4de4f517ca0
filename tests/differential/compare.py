"""The same call to two servers, and whether a client could tell their answers apart.

Of times, those that tell how long a window still lasts may differ by a second: two calls are never at the same moment.
JSON is compared by what it says: Go's protojson puts a space after some separators, another one in each build.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc.aio
from google.protobuf.message import DecodeError

from deploy.demo.processes import LOOPBACK
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.messages import SHOULD_RATE_LIMIT_PATH
from tests.differential.instance import Instance

CALL_S = 30.0
CLOSE_S = 1


@dataclass(frozen=True, slots=True)
class Http:
    """A call over HTTP, to the debug port or the other one."""

    path: str
    body: bytes = b""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    debug: bool = False

    async def send(self, to: Instance) -> dict[str, Any]:
        """Status, body and the headers that say something of it."""
        url = f"http://{LOOPBACK}:{to.debug if self.debug else to.http}{self.path}"
        timeout = aiohttp.ClientTimeout(total=CALL_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, skip_auto_headers=["Content-Type"]) as session,
            session.request(self.method, url, data=self.body, headers=self.headers) as response,
        ):
            text = (await response.read()).decode()
            of_json = response.content_type == "application/json"
            told = ("Content-Type", "X-Content-Type-Options")
            return {
                "status": response.status,
                "body": json.loads(text) if of_json else sorted(text.splitlines(keepends=True)),
                **{name: response.headers.get(name) for name in told},
            }


@dataclass(frozen=True, slots=True)
class Rpc:
    """A call over gRPC, with its bytes as they are."""

    message: bytes
    path: str = SHOULD_RATE_LIMIT_PATH
    metadata: tuple[tuple[str, str], ...] = ()

    async def send(self, to: Instance) -> dict[str, Any]:
        """Status code, its message, and the reply."""
        options = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
        async with grpc.aio.insecure_channel(f"{LOOPBACK}:{to.grpc}", options=options) as channel:
            ask: Any = channel.unary_unary(self.path)
            call = ask(self.message, timeout=CALL_S, metadata=self.metadata)
            try:
                reply = await call
            except grpc.aio.AioRpcError as error:
                # Only the service's own words are the same in each language; the others are its library's.
                own = error.code() is grpc.StatusCode.UNKNOWN
                return {"code": error.code().name, **({"details": error.details()} if own else {})}
        return {"code": "OK", "reply": _read(reply)}


Call = Http | Rpc


def _read(reply: bytes) -> object:
    try:
        return rls_pb2.RateLimitResponse.FromString(reply)
    except DecodeError:
        return reply


async def difference(call: Call, theirs: Instance, ours: Instance) -> str:
    """What differs between the two answers; empty where nothing does."""
    theirs_said, ours_said = await call.send(theirs), await call.send(ours)
    named = (name for name in theirs_said.keys() | ours_said.keys())
    told = [
        f"{name}: theirs {theirs_said.get(name)!r}, ours {ours_said.get(name)!r}"
        for name in sorted(named)
        if not same(theirs_said.get(name), ours_said.get(name))
    ]
    return "; ".join(told)


def same(theirs: Any, ours: Any) -> bool:
    """Whether two parts of an answer say the same."""
    if isinstance(theirs, rls_pb2.RateLimitResponse) and isinstance(ours, rls_pb2.RateLimitResponse):
        return _same_but_for_the_moment(theirs, ours)
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return list(theirs) == list(ours) and all(same(theirs[name], ours[name]) for name in theirs)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(theirs) == len(ours) and all(map(same, theirs, ours))
    return bool(theirs == ours) or _close(theirs, ours)


def _same_but_for_the_moment(theirs: rls_pb2.RateLimitResponse, ours: rls_pb2.RateLimitResponse) -> bool:
    adjusted = rls_pb2.RateLimitResponse()
    adjusted.CopyFrom(ours)
    for one, other in zip(theirs.statuses, adjusted.statuses, strict=False):
        reset, wanted = other.duration_until_reset, one.duration_until_reset
        both = other.HasField("duration_until_reset") and one.HasField("duration_until_reset")
        if both and abs(reset.seconds - wanted.seconds) <= CLOSE_S:
            reset.seconds = wanted.seconds
    for header, wanted_header in zip(adjusted.response_headers_to_add, theirs.response_headers_to_add, strict=False):
        if "reset" in header.key.lower() and _close(wanted_header.value, header.value, "([0-9]+)"):
            header.value = wanted_header.value
    return adjusted == theirs


def _close(theirs: Any, ours: Any, form: str = "([0-9]+)s") -> bool:
    """Whether two texts are durations (`59s`), or whatever numbers `form` takes, at most a second apart."""
    if not isinstance(theirs, str) or not isinstance(ours, str):
        return False
    found = [re.fullmatch(form, text) for text in (theirs, ours)]
    return all(found) and abs(int(found[0][1]) - int(found[1][1])) <= CLOSE_S  # type: ignore[index]
