"""What a ledger knows of its bucket beside its rows."""

import struct
from dataclasses import dataclass, field
from math import inf

from ratelimit.quota.options import LedgerOptions

# Tokens given within so many seconds are one entry.
_GRAIN_S = 0.25
_FORM = struct.Struct("<?dddd")
_PAIR = struct.Struct("<dd")


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

    @property
    def learning(self) -> bool:
        """Whether assignments may be in force that are not here."""
        return self.at < self.learn_until_s

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

    def overspent(self, options: LedgerOptions, now_s: float) -> float:
        """What was given beyond its part of a window, in requests per second."""
        tuning = options.tuning
        most = tuning.spent_part * options.limit_per_s * tuning.window_s
        return max(0.0, self.spent_within(tuning.window_s, now_s) - most) / tuning.window_s

    def has_room(self, tokens: float, options: LedgerOptions, now_s: float) -> bool:
        """Whether so many may be given where none have to be."""
        tuning = options.tuning
        room = tuning.refit * tuning.spent_part * options.limit_per_s * tuning.window_s
        return self.spent_within(tuning.window_s, now_s) + tokens < room

    def pack(self) -> bytes:
        """The head as bytes."""
        fixed = _FORM.pack(self.shown, self.at, self.next_plan_s, self.learn_until_s, self.given)
        return fixed + b"".join(_PAIR.pack(*each) for each in self.spent)

    @classmethod
    def unpack(cls, packed: bytes) -> "Head":
        """A head from what `pack` made. Raises ValueError where it is not that."""
        try:
            shown, at, next_plan_s, learn_until_s, given = _FORM.unpack_from(packed)
            spent = [(moment, tokens) for moment, tokens in _PAIR.iter_unpack(packed[_FORM.size :])]
        except struct.error as error:
            raise ValueError(f"no head: {error}") from None
        return cls(at, next_plan_s, learn_until_s, given, shown, spent)
