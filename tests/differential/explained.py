"""Whether `explain` says what the service then does: random trees and requests, each asked of both.

`python -m tests.differential.explained SCENARIOS` runs so many scenarios of 25 requests each and tells what disagreed.
"""

import sys
from collections.abc import Callable
from typing import Any

import yaml

from ratelimit.clock import SteppedClock
from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.descriptors.tree import Config
from ratelimit.errors import RpcError
from ratelimit.limiter.counter_key import CounterFormat, bucket_counter, exact_counter, reference_counter
from ratelimit.limiter.counter_store import Batch, Results
from ratelimit.limiter.decision import REMAINING_UNLIMITED
from ratelimit.limiter.explanation import explain
from ratelimit.limiter.explanation_report import report
from ratelimit.limiter.limiter import Limiter, LimiterOptions
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.planner import Grouping, Planner
from ratelimit.metrics import LimitStats, Metrics
from ratelimit.pb.envoy.service.ratelimit.v3 import rls_pb2
from ratelimit.service.messages import parse_request
from ratelimit.service.rate_limit import RateLimitService
from ratelimit.stores.memory import MemoryStore
from tests.differential import generated

LIMIT = "current_limit"
Unit = rls_pb2.RateLimitResponse.RateLimit.Unit
FORMATS: tuple[CounterFormat, ...] = (exact_counter, reference_counter, bucket_counter)


class Watched(MemoryStore):
    """A memory store that notes which keys were asked of it, by their hits' limits."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bytes, int]] = []

    def count(self, batch: Batch, done: Callable[[Results], None]) -> None:
        self.asked += [(hit.key.name, hit.limit) for hit in batch.hits]
        super().count(batch, done)


class Turning:
    """The loop and the caller that a service needs, turned by hand."""

    deadline = float("inf")
    waiting = True

    def __init__(self) -> None:
        self.message: bytes | None = None
        self._callbacks: list[Callable[[], None]] = []

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def ask(self, service: RateLimitService, message: bytes) -> bytes | None:
        """The answer to the one request of a tick; None for a refusal."""
        self.message = None
        service.should_rate_limit([self], [message])
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
        return self.message

    def reply(self, message: bytes) -> None:
        self.message = message

    def fail(self, error: RpcError) -> None:
        self.message = None


class Served:
    """A service on a watched store, for one configuration."""

    def __init__(self, config: Config, counter: CounterFormat, grouping: Grouping) -> None:
        self.config, self.metrics, self.turning, self.store = config, Metrics(), Turning(), Watched()
        self.clock = SteppedClock()
        limiter = Limiter(self.store, self.clock, self.turning, OverLimitCache(0), LimiterOptions())
        planner = Planner(counter, lambda key, _: self.metrics.limit(key), "p:", grouping=grouping)
        self.service = RateLimitService(limiter, planner, self.metrics, self.turning.time)
        self.service.swap(config)
        self.explainer = Planner(counter, lambda *_: LimitStats(), "p:", grouping=grouping)

    def ask(self, message: bytes) -> tuple[rls_pb2.RateLimitResponse | None, list[tuple[bytes, int]]]:
        """The response, None for a refusal, and the keys that were asked of the store."""
        self.store.asked.clear()
        answered = self.turning.ask(self.service, message)
        return None if answered is None else rls_pb2.RateLimitResponse.FromString(answered), self.store.asked

    def now(self) -> int:
        """The second that is asked about."""
        return int(self.clock.now())

    def explain(self, message: bytes) -> dict[str, Any] | None:
        """The report; None for a refusal."""
        try:
            request = parse_request(message)
            return report(explain(self.config, request, self.explainer, self.now()))
        except RpcError:
            return None


def disagreements(seed: int) -> tuple[int, list[str]]:
    """How many requests were asked for the scenario of `seed`, and where explanation and service differ."""
    scenario = generated.scenario(seed)
    config = load_config([ConfigFile("f.yaml", scenario.text.encode())])
    served = Served(config, FORMATS[seed % 3], Grouping(stop_when_over=seed % 5 == 0))
    written = limits_by_line(scenario.text)
    found = []
    for number, request in enumerate(scenario.requests):
        message = request.SerializeToString()
        told, (response, asked) = served.explain(message), served.ask(message)
        wrong = _differs(told, response, asked, written)
        if wrong:
            found.append(f"seed {seed}, request {number}: {wrong}")
    return len(scenario.requests), found


def _differs(
    told: dict[str, Any] | None,
    response: rls_pb2.RateLimitResponse | None,
    asked: list[tuple[bytes, int]],
    written: dict[int, dict[str, Any]],
) -> str:
    if told is None or response is None:
        return "" if (told is None) == (response is None) else "one refuses, the other does not"
    keys = {each["counter"]["key"].encode() for each in told["descriptors"] if "counter" in each}
    if keys != {name for name, _ in asked}:
        return f"keys {keys}, and the store was asked {asked}"
    for each, status in zip(told["descriptors"], response.statuses, strict=True):
        wrong = _status_differs(each, status) or _place_differs(each.get("limit", {}), written)
        if wrong:
            return wrong
    return ""


def _status_differs(each: dict[str, Any], status: rls_pb2.RateLimitResponse.DescriptorStatus) -> str:
    verdict, limit = each["verdict"], each.get("limit", {})
    if (verdict == "unlimited") != limit.get("unlimited", False):
        return f"{verdict} with {limit}"
    if (verdict == "unlimited") != (status.limit_remaining == REMAINING_UNLIMITED and not status.HasField(LIMIT)):
        return f"{verdict}, and the status {status}"
    if (verdict == "counted") != status.HasField(LIMIT):
        return f"{verdict}, and the status {status}"
    if verdict != "counted":
        return ""
    seen = status.current_limit
    told = (limit["requests_per_unit"], limit["unit"], limit["name"])
    return "" if told == (seen.requests_per_unit, Unit.Name(seen.unit), seen.name) else f"{limit}, and {seen}"


def _place_differs(limit: dict[str, Any], written: dict[int, dict[str, Any]]) -> str:
    if "line" not in limit or _is_written(limit, written.get(limit["line"], {})):
        return ""
    return f"{limit} does not stand in its line: {written.get(limit['line'])}"


def _is_written(limit: dict[str, Any], text: dict[str, Any]) -> bool:
    if limit.get("unlimited"):
        return text.get("unlimited") == "true"
    unit, count = text.get("unit", "").upper(), text.get("requests_per_unit")
    return (limit["unit"], str(limit["requests_per_unit"]), limit["name"]) == (unit, count, text.get("name", ""))


def limits_by_line(text: str) -> dict[int, dict[str, Any]]:
    """The scalars of each rate_limit by the line where its descriptor begins, found without the loader."""
    found: dict[int, dict[str, Any]] = {}

    def visit(node: yaml.Node) -> None:
        if isinstance(node, yaml.SequenceNode):
            for each in node.value:
                visit(each)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == "rate_limit":
                    found[node.start_mark.line + 1] = {name.value: inner.value for name, inner in value.value}
                elif key.value == "descriptors":
                    visit(value)

    visit(yaml.compose(text))
    return found


def main(scenarios: int) -> int:
    """Run so many scenarios; 1 where something differs."""
    cases, wrong = 0, list[str]()
    for seed in range(scenarios):
        asked, found = disagreements(seed)
        cases, wrong = cases + asked, wrong + found
    sys.stdout.write("".join(f"{each}\n" for each in wrong[:20]) + f"{cases} requests, {len(wrong)} disagreements\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 450))
