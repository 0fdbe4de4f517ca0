"""Whether a replay comes to what the service answers: random trees, requests and moments, each counted by both.

`python -m tests.differential.replayed LINES` replays a generated log of so many lines, and asks the service the same.
"""

import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadtest.access_log import Asked, Traffic, ended, requests, write_json
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.tree import Config
from ratelimit.errors import RpcError
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.metrics import Metrics
from ratelimit.pb.envoy.extensions.common.ratelimit.v3 import ratelimit_pb2
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.messages import parse_request
from ratelimit.service.planning import decision_rules, make_planner
from ratelimit.service.rate_limit import RateLimitService, Rules
from ratelimit.settings import Settings, load_settings
from ratelimit.simulation.command import Question, Simulation
from ratelimit.simulation.exact_lane import SetClock
from ratelimit.simulation.planned import Planned
from ratelimit.simulation.replay import Replay, Row
from ratelimit.stores.memory import MemoryStore
from tests.differential import generated
from tests.differential.explained import Turning

OVER_LIMIT = rls_pb2.RateLimitResponse.OVER_LIMIT
START_MS = 1_767_225_600_000
STEPS_MS = (0, 0, 1, 7, 250, 742, 1_000, 20_000, 60_000, 60_000, 3_600_000)
REFUNDS = 0.07
SETTINGS: tuple[dict[str, str], ...] = (
    {},
    {},
    {"STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": "true"},
    {"LOCAL_CACHE_SIZE_IN_BYTES": "1000000"},
    {"COUNTER_KEY_FORMAT": "reference"},
    {"QUOTA_MODE": "true"},
    {"SHADOW_MODE": "true"},
    {"USE_CALENDAR_MONTH_RATE_LIMIT": "true", "CACHE_KEY_PREFIX": "p:"},
)

LOG_CONFIG = """domain: shop
descriptors:
  - {key: tier, value: bronze, rate_limit: {unit: minute, requests_per_unit: 300}}
  - {key: tier, value: silver, rate_limit: {unit: minute, unit_multiplier: 5, requests_per_unit: 2000}}
  - {key: tier, value: gold, shadow_mode: true, rate_limit: {unit: second, requests_per_unit: 20}}
  - {key: tier, value: none, quota_mode: true, rate_limit: {unit: hour, requests_per_unit: 2000}}
  - {key: user, rate_limit: {unit: minute, requests_per_unit: 90}}
  - key: path
    value: /search/*
    rate_limit: {unit: minute, requests_per_unit: 200, algorithm: sliding_window}
  - key: path
    descriptors:
      - {key: user, rate_limit: {unit: second, requests_per_unit: 2, algorithm: gcra}}
"""
TEMPLATES = ("tier=%x-loyalty%|none", "user=%user%", "path=%path%", "path=%path%,user=%user%")


class Served:
    """The service on a memory store, at the moments of a log."""

    def __init__(self, config: Config, settings: Settings) -> None:
        self.metrics, self.turning, self.clock = Metrics(), Turning(), SetClock()
        cache = OverLimitCache(settings.limiter.local_cache_size_in_bytes)
        self.store = MemoryStore(2**40)
        limiter = Limiter(self.store, self.clock, self.turning, cache, LimiterOptions())
        planner = make_planner(settings, lambda key, configured: self.metrics.limit(key, configured=configured))
        self.service = RateLimitService(limiter, planner, self.metrics, self.turning.time)
        self.service.swap(config, Rules(decision_rules(settings), settings.response))

    def ask(self, message: bytes, ms: int) -> bytes | None:
        """The answer to the one request of a tick; None for a refusal."""
        self.clock.ms = ms
        return self.turning.ask(self.service, message)


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration, its settings, and requests with their moments in unix milliseconds."""

    config: Config
    settings: Settings
    asked: Sequence[tuple[int, bytes]]


def case(seed: int, lines: int = 60) -> Case:
    """The case of a seed."""
    rng = random.Random(seed)
    scenario = generated.scenario(seed, overrides=False)
    tree = yaml.safe_load(scenario.text)
    tree["all_or_nothing"] = rng.random() < 0.25
    _vary(rng, tree["descriptors"], fixed=tree["all_or_nothing"])
    config = load_config([ConfigFile("f.yaml", yaml.safe_dump(tree, allow_unicode=True).encode())])
    requests = scenario.requests[: rng.choice((1, 4, 25))]
    for descriptor in (each for request in requests for each in request.descriptors):
        descriptor.is_negative_hits = rng.random() < REFUNDS
    messages = [request.SerializeToString() for request in requests]
    now, asked = START_MS + rng.randrange(10**4) * 10_000, []
    steps = [step for step in STEPS_MS if step % 10_000 == 0] if rng.random() < 0.5 else STEPS_MS
    for _ in range(lines):
        now += rng.choice(steps)
        asked.append((now, rng.choice(messages)))
    return Case(config, load_settings({**SETTINGS[seed % len(SETTINGS)], "BACKEND_TYPE": "memory"}), asked)


def _vary(rng: random.Random, tree: Sequence[dict[str, Any]], *, fixed: bool) -> None:
    """What the scenarios of the reference do not have: seconds, several units, other algorithms, smaller limits."""
    for each in tree:
        limit = each.get("rate_limit")
        if limit and "unit" in limit:
            limit["requests_per_unit"] = min(limit["requests_per_unit"], rng.choice((3, 10, 2**32 - 1)))
            if rng.random() < 0.3:
                limit["unit"] = "second"
            if rng.random() < 0.3:
                limit["unit_multiplier"] = rng.choice((2, 5))
            if not fixed and rng.random() < 0.3:
                limit["algorithm"] = rng.choice(("sliding_window", "gcra"))
        _vary(rng, each.get("descriptors", ()), fixed=fixed)


class Replayed:
    """A case, replayed; `exact` keeps everything in the exact lane. `denied` are the places of what was denied."""

    def __init__(self, given: Case, *, exact: bool = False, rows_a_run: int = 7) -> None:
        self.replay = Replay(given.config, given.settings)
        if exact:
            self.replay._planning._all_exact = True
        self.refused: list[int] = []
        self.denied: list[int] = []
        self._plans: dict[bytes, tuple[Planned] | None] = {}
        rows: list[Row] = []
        places: list[int] = []
        for place, (ms, message) in enumerate(given.asked):
            plans = self._planned(message)
            if plans is None:
                self.refused.append(place)
                continue
            rows.append((ms, plans))
            places.append(place)
        for start in range(0, len(rows), rows_a_run):
            found = self.replay.run(rows[start : start + rows_a_run])
            self.denied += [places[start + each] for each in found]
        self.replay.finish()

    def _planned(self, message: bytes) -> tuple[Planned] | None:
        if message not in self._plans:
            try:
                self._plans[message] = (self.replay.plan(parse_request(message)),)
            except RpcError:
                self._plans[message] = None
        return self._plans[message]

    def table(self) -> list[tuple[Any, ...]]:
        """All that is told of each limit."""
        return [
            (
                *(each.name, each.verdict, each.requests, each.over, each.denied, each.peak),
                *(each.first_over_ms, each.last_over_ms, each.series, each.busiest.most(100)),
            )
            for each in self.replay.tallies
        ]


def disagreements(seed: int) -> tuple[int, list[str]]:
    """How many requests the case of `seed` has, and where replay and service differ."""
    given = case(seed)
    served = Served(given.config, given.settings)
    answers = [served.ask(message, ms) for ms, message in given.asked]
    fast, exact = Replayed(given), Replayed(given, exact=True, rows_a_run=1_000)
    found = []
    responses = [None if each is None else rls_pb2.RateLimitResponse.FromString(each) for each in answers]
    if fast.refused != [place for place, each in enumerate(responses) if each is None]:
        found.append(f"seed {seed}: refused are {fast.refused}")
    if fast.denied != [place for place, each in enumerate(responses) if each and each.overall_code == OVER_LIMIT]:
        found.append(f"seed {seed}: denied are {fast.denied}")
    if fast.table() != exact.table() or fast.replay.series != exact.replay.series:
        found.append(f"seed {seed}: the lanes differ: {fast.table()} and {exact.table()}")
    codes = Counter(status.code for each in responses if each for status in each.statuses)
    over = sum(each.over for each in fast.replay.tallies if not (each.limit and each.limit.shadow_mode))
    if over != codes[OVER_LIMIT]:
        found.append(f"seed {seed}: {over} over, and the service says {codes}")
    return len(given.asked), found


def disagreements_of_log(folder: Path, traffic: Traffic) -> tuple[int, list[str]]:
    """How many the service denies of a generated log's requests, and where the command's report differs from it."""
    write_json(folder / "access.log", traffic)
    (folder / "config").mkdir()
    (folder / "config" / "shop.yaml").write_text(LOG_CONFIG)
    settings = load_settings({"BACKEND_TYPE": "memory"})
    question = Question(folder / "config", str(folder / "access.log"), "shop", TEMPLATES, strict=True)
    simulation = Simulation(question, settings)
    simulation.run()
    report = json.loads(json.dumps(simulation.report()))
    served = Served(load_config([ConfigFile("shop.yaml", LOG_CONFIG.encode())]), settings)
    # Those of one millisecond come as they stand in the log.
    asked = sorted(ended(requests(traffic)), key=lambda each: each.ms)
    denied = sum(_denies(served.ask(_message(each), each.ms)) for each in asked)
    told: dict[str, tuple[int, ...]] = {"all": (report["requests"], report["denied"])}
    counted: dict[str, tuple[int, ...]] = {"all": (len(asked), denied)}
    for each in report["limits"]:
        if each["verdict"] == "counted":
            told[each["limit"]] = (each["requests"], each["over"], each["shadow_mode"] * each["over"])
    for name, stats in served.metrics.limits.items():
        counted[name] = (stats.total_hits, stats.over_limit, stats.shadow_mode)
    names = {*told, *counted}
    return denied, [
        f"{name}: {told.get(name)} and {counted.get(name)}" for name in names if told.get(name) != counted.get(name)
    ]


def _message(each: Asked) -> bytes:
    """What Envoy would send for the line."""
    found = rls_pb2.RateLimitRequest(domain="shop")
    entries = [[("tier", each.tier or "none")], [("user", each.user)], [("path", each.path)]]
    for descriptor in [*entries, [("path", each.path), ("user", each.user)]]:
        pairs = [ratelimit_pb2.RateLimitDescriptor.Entry(key=key, value=value) for key, value in descriptor]
        found.descriptors.append(ratelimit_pb2.RateLimitDescriptor(entries=pairs))
    return found.SerializeToString()


def _denies(answer: bytes | None) -> bool:
    return answer is not None and rls_pb2.RateLimitResponse.FromString(answer).overall_code == OVER_LIMIT


def main(lines: int) -> int:
    """Replay a log of so many lines; 1 where something differs."""
    with tempfile.TemporaryDirectory() as name:
        denied, wrong = disagreements_of_log(Path(name), Traffic(lines, per_second=20, users=100_000))
    sys.stdout.write(
        "".join(f"{each}\n" for each in wrong) + f"{lines} lines, {denied} denied, {len(wrong)} disagreements\n"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
