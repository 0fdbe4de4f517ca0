"""What a ledger knows of one Envoy."""

import struct
from dataclasses import dataclass
from math import inf

from ratelimit.quota.assignment import FILL_INTERVAL_S

_FLAGS = ("hungry", "fresh", "silent", "gone", "abandoned", "unknown")
_FORM = struct.Struct("<BB4i15d")
FORMAT = 1


@dataclass(slots=True, eq=False)
class Row:
    """Rates in requests per second, moments in seconds of the ledger's clock. A plain value: `pack` makes it bytes.

    `tokens` per FILL_INTERVAL_S and `burst` are the assignment last decided, `seq` its number; `pend` is since when it
    is not acknowledged (inf: it is), `exp` when its lease ends. `hold` is the highest rate that may be in force.
    `estimate`, `gain` and `run` belong to the estimator (demand.py), `denied` is what was refused lately.
    `offered`: tokens that came to the Envoy since `last`, its last report; they are reckoned up to `since`.
    `hungry`: it refused a part that counts. `fresh`: no full report yet. `silent`: it may not be there. `gone`: its
    stream ended. `abandoned`: it was told to forget the bucket. `unknown`: it holds an assignment that is not here.
    """

    envoy: str
    owner: str = ""
    weight: float = 1.0
    tokens: int = 0
    burst: int = 0
    seq: int = 0
    zero: int = 0
    hold: float = 0.0
    pend: float = inf
    exp: float = 0.0
    estimate: float = 0.0
    gain: float = 0.5
    run: float = 0.0
    denied: float = 0.0
    offered: float = 0.0
    since: float = 0.0
    last: float = 0.0
    probed: float = -inf
    hungry: bool = False
    fresh: bool = True
    silent: bool = False
    gone: bool = False
    abandoned: bool = False
    unknown: bool = False

    @property
    def rate(self) -> float:
        """What the assignment comes to."""
        return self.tokens / FILL_INTERVAL_S

    @property
    def live(self) -> bool:
        """Whether it can be told something new."""
        return not (self.silent or self.abandoned)

    def reckon(self, now_s: float) -> None:
        """Add up what came to it until now."""
        self.offered += self.tokens / FILL_INTERVAL_S * (now_s - self.since)
        self.since = now_s
