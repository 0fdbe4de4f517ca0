"""What is measured, and what ours is to reach."""

from dataclasses import dataclass
from typing import Literal

from loadtest.raw_client import Load
from loadtest.servers import OURS, PEER, PROOF

OVER_LIMIT = 2


@dataclass(frozen=True, slots=True)
class Case:
    """A way to load a server.

    `plain`: h2load can do it; also a bare server that knows neither limits nor lists. `own`: only ours can.
    """

    name: str
    title: str
    load: Load
    plain: bool = False
    own: bool = False


def _case(name: str, title: str, kind: str, *, rate: int = 0, code: int = 1) -> Case:
    streams = 250 if rate else 32
    return Case(name, title, Load(0, kind, connections=4, streams=streams, rate=rate, code=code))


def _own(name: str, title: str, kind: str = "") -> Case:
    load = Load(0, kind or name, connections=4, streams=250, rate=5_000)
    return Case(name, f"open loop, 5,000 calls a second, {title}", load, own=True)


def _shape(connections: int, streams: int) -> Case:
    name = f"{connections}x{streams}"
    title = f"{connections} connections x {streams} streams, always the same request"
    return Case(name, title, Load(0, connections=connections, streams=streams), plain=True)


CASES = (
    _shape(1, 1),
    _shape(4, 32),
    _shape(16, 16),
    _case("envoy", "4x32 with the header block of an Envoy, always the same", "constant"),
    _case("traced", "4x32, x-request-id and traceparent change with each call", "traced"),
    _case("unique", "4x32, a descriptor value that no other call has", "unique"),
    _case("ten", "4x32, ten descriptors in each request", "ten"),
    _case("over", "4x32, over the limit, LOCAL_CACHE_SIZE_IN_BYTES on", "over", code=OVER_LIMIT),
    _case("open", "open loop, 10,000 calls a second", "constant", rate=10_000),
    _own("calm", "a fixed window", "constant"),
    _own("sliding", "a sliding window"),
    _own("gcra", "GCRA"),
    _own("three", "three fixed windows, each by itself"),
    _own("together", "three fixed windows, charged all or none"),
)

Measure = Literal["rate", "cpu_us", "p50_ms", "p99_ms"]


@dataclass(frozen=True, slots=True)
class Target:
    """Ours in `case` divided by `server` in `other_case`: at least `bound` for a rate, at most for the rest."""

    case: str
    measure: Measure
    server: str
    bound: float
    other_case: str = ""

    def reached(self, ratio: float) -> bool:
        """Whether that ratio will do."""
        return ratio >= self.bound if self.measure == "rate" else ratio <= self.bound

    def __str__(self) -> str:
        what = {"rate": "req/s", "cpu_us": "CPU per request", "p50_ms": "p50", "p99_ms": "p99"}[self.measure]
        other = f"{self.server} {self.other_case}".strip()
        return f"{self.case}: {what} {'≥' if self.measure == 'rate' else '≤'} {self.bound:.3g} × {other}"


# A rate of 0.85 of the proof's is a CPU time of 1 / 0.85 of its.
TARGETS = (
    Target("1x1", "rate", PEER, 1.3),
    *(
        target
        for shape in ("4x32", "16x16")
        for target in (
            Target(shape, "rate", PEER, 11),
            Target(shape, "rate", PROOF, 0.85),
            Target(shape, "cpu_us", PROOF, 1 / 0.85),
        )
    ),
    Target("traced", "cpu_us", OURS, 1.3, "envoy"),
    Target("unique", "rate", PEER, 5),
    Target("ten", "rate", PEER, 5),
    Target("over", "cpu_us", OURS, 1 / 1.2, "envoy"),
    Target("open", "p50_ms", PEER, 1),
    Target("open", "p99_ms", PEER, 1),
    Target("sliding", "p50_ms", OURS, 1.3, "calm"),
    Target("gcra", "p50_ms", OURS, 1.3, "calm"),
    Target("together", "p50_ms", OURS, 1.5, "three"),
)
