"""What an Envoy is told of one bucket."""

from dataclasses import dataclass
from typing import TypeAlias

# Envoy compares max_tokens, tokens_per_fill and the nanoseconds of fill_interval to see whether an assignment changed,
# so this never varies. A long one makes rates of whole tokens fine: 1/60 per second. The refill is continuous.
FILL_INTERVAL_S = 60


# Plain, as Push: a frozen one takes four times as long to make, and thousands are made each second.
@dataclass(slots=True)
class Assign:
    """A token bucket: it holds at most `max_tokens`, gets `tokens_per_fill` in each `fill_interval_s`, and starts full.

    An assignment equal to the one in force renews its lease and keeps its tokens. `tokens_per_fill` of 0 denies all.
    """

    max_tokens: int
    tokens_per_fill: int
    ttl_s: int
    fill_interval_s: int = FILL_INTERVAL_S

    @property
    def denies(self) -> bool:
        """Whether nothing passes: Envoy takes no token bucket of 0 tokens, so it is told DENY_ALL."""
        return self.tokens_per_fill == 0


@dataclass(frozen=True, slots=True)
class Abandon:
    """Forget the bucket; the next request of it makes a new one, which reports at once."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Nothing but the question whether the Envoy is there."""


Action: TypeAlias = Assign | Abandon | Probe


@dataclass(slots=True)
class Push:
    """Send `action` to `envoy`, and behind it a PING; when that is acknowledged, call `acked(envoy, seq, now_s)`.

    Without `asks` that would tell nothing new: what is renewed is known to be obeyed.
    """

    envoy: str
    seq: int
    action: Action
    asks: bool = True
