"""What a ledger knows of its bucket beside its rows."""

import struct
from dataclasses import dataclass, field
from math import inf

# Tokens given within so many seconds are one entry.
_GRAIN_S = 0.25
_FORM = struct.Struct("<Bdddd")
_PAIR = struct.Struct("<dd")
FORMAT = 1


@dataclass(slots=True)
class Head:
    """Moments in seconds of the ledger's clock.

    `at` is the last moment the ledger saw, `next_plan_s` when it may plan again. Until `learn_until_s` assignments are
    in force that are not here; `given` is what newcomers got meanwhile, in requests per second. `spent` are the tokens
    given by new buckets, with their moments, oldest first.
    """

    at: float = -inf
    next_plan_s: float = -inf
    learn_until_s: float = -inf
    given: float = 0.0
    shown: bool = False
    spent: list[tuple[float, float]] = field(default_factory=list)

    def spend(self, tokens: float, now_s: float) -> None:
        """Note tokens that were given away."""
        if self.spent and now_s - self.spent[-1][0] < _GRAIN_S:
            tokens += self.spent[-1][1]
            self.spent[-1] = (self.spent[-1][0], tokens)
        else:
            self.spent.append((now_s, tokens))

    def spent_within(self, window_s: float, now_s: float) -> float:
        """The tokens given in the last `window_s`; older ones are forgotten."""
        while self.spent and self.spent[0][0] <= now_s - window_s:
            del self.spent[0]
        return sum(tokens for _, tokens in self.spent)
