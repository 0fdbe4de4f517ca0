"""Access logs as Envoy writes them, generated: who asked when, and lines in the order in which requests end."""

import heapq
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

START_MS = 1_767_261_600_000
TIERS = (("bronze", 4.0), ("silver", 2.0), ("gold", 1.0), (None, 1.0), ("platinum", 0.3))
PATHS = ("/items", "/items/7", "/search/red", "/search/blue", "/cart")
DURATION_MS_MAX = 900
# What Istio's default format has beside the fields that matter here.
OTHERS: dict[str, Any] = {
    "authority": "catalog:3000",
    "bytes_received": 0,
    "bytes_sent": 357,
    "connection_termination_details": None,
    "downstream_local_address": "10.1.0.34:3000",
    "downstream_remote_address": "10.1.0.36:41234",
    "method": "GET",
    "protocol": "HTTP/1.1",
    "request_id": "a5f6a3d4-b2b1-9e1c-8f7a-1c2d3e4f5a6b",
    "requested_server_name": None,
    "response_code": 200,
    "response_code_details": "via_upstream",
    "response_flags": "-",
    "route_name": "default",
    "upstream_cluster": "inbound|3000||",
    "upstream_host": "10.1.0.34:3000",
    "upstream_local_address": "127.0.0.6:41111",
    "upstream_service_time": "3",
    "user_agent": "curl/8.5.0",
    "x_forwarded_for": None,
}


@dataclass(frozen=True, slots=True)
class Traffic:
    """So many `lines`, about `per_second`, of `users` users; `seed` repeats them."""

    lines: int
    per_second: float = 3_000.0
    users: int = 1_000
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: when it began, in unix milliseconds, how long it took, and what of it the log has."""

    ms: int
    duration_ms: int
    tier: str | None
    user: str
    path: str


def requests(traffic: Traffic) -> Iterator[Asked]:
    """Requests in the order of their beginnings. Each tier has its tide, and the gold one a rush."""
    rng = random.Random(traffic.seed)
    moment = float(START_MS)
    whole_ms = traffic.lines / traffic.per_second * 1_000
    names = [name for name, _ in TIERS]
    for number in range(traffic.lines):
        done = (moment - START_MS) / whole_ms
        if number % 256 == 0:
            weights = [share * (1 + 0.8 * math.sin(3 * done + place)) for place, (_, share) in enumerate(TIERS)]
            weights[2] *= 9 if 0.65 < done < 0.78 else 1
        moment += rng.expovariate(traffic.per_second) * 1_000
        tier = rng.choices(names, weights)[0]
        user = f"user-{min(int(rng.paretovariate(0.7)), traffic.users)}"
        yield Asked(int(moment), rng.randrange(3, DURATION_MS_MAX), tier, user, rng.choice(PATHS))


def ended(asked: Iterator[Asked]) -> Iterator[Asked]:
    """The same in the order of their ends, which is that of the log."""
    open_ones: list[tuple[int, int, Asked]] = []
    for number, each in enumerate(asked):
        while open_ones and open_ones[0][0] < each.ms:
            yield heapq.heappop(open_ones)[2]
        heapq.heappush(open_ones, (each.ms + each.duration_ms, number, each))
    while open_ones:
        yield heapq.heappop(open_ones)[2]


def json_line(each: Asked, others: str) -> str:
    """Its line of JSON; `others` are fields that nothing reads, in JSON."""
    fields = {"duration": each.duration_ms, "path": each.path, "start_time": printed(each.ms), "user": each.user}
    return f"{{{others}, {json.dumps({**fields, 'x-loyalty': each.tier})[1:]}\n"


def printed(ms: int) -> str:
    """A moment as %START_TIME% prints it."""
    return f"{datetime.fromtimestamp(ms // 1_000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1_000:03}Z"


def write_json(path: Path, traffic: Traffic) -> None:
    """Write the log as JSON lines."""
    others = json.dumps(OTHERS)[1:-1]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json_line(each, others) for each in ended(requests(traffic)))


def write_csv(path: Path, traffic: Traffic) -> None:
    """Write the log as CSV of descriptors, one a line."""
    with path.open("w", encoding="utf-8") as file:
        file.write("time,domain,header_match\n")
        for each in ended(requests(traffic)):
            file.write(
                f"{printed(each.ms)},catalog-ratelimit,{f'{each.tier}_request' if each.tier else 'no_loyalty'}\n"
            )
