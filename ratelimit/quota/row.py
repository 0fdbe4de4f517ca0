"""What a ledger knows of one Envoy."""

import struct
from dataclasses import dataclass
from math import inf
from operator import attrgetter

from ratelimit.quota.assignment import FILL_INTERVAL_S, Assign, Push
from ratelimit.quota.usage_sheet import CLOSED, NOTED, OPEN, UsageSheet

_FLAGS = ("hungry", "fresh", "silent", "gone", "abandoned", "unknown")
_NUMBERS = ("tokens", "burst", "seq", "zero")
_LASTING = ("weight", "hold", "pend", "exp", "estimate", "gain", "run", "denied", "offered")
_MOMENTS = ("since", "last", "back", "probed")
_MEASURES = (*_LASTING, *_MOMENTS)
_FORM = struct.Struct(f"<B{len(_NUMBERS)}I{len(_MEASURES)}d")
_measures, _numbers = attrgetter(*_MEASURES), attrgetter(*_NUMBERS)


@dataclass(slots=True, eq=False)
class Row:
    """Rates in requests per second, moments in seconds of the ledger's clock. A plain value: `pack` makes it bytes.

    `tokens` per FILL_INTERVAL_S and `burst` are the assignment last decided, `seq` its number; `pend` is since when it
    is not acknowledged (inf: it is), `exp` when its lease ends. `hold` is the highest rate that may be in force.
    `estimate`, `gain` and `run` belong to the estimator (demand.py), `denied` is what was refused lately.
    `offered`: tokens that came to the Envoy since `last`, its last report; they are reckoned up to `since`.
    `back`: until when it would have come back after the end of its stream.
    `hungry`: it refused a part that counts. `fresh`: no full report yet. `silent`: it may not be there. `gone`: its
    stream ended. `abandoned`: it was told to forget the bucket. `unknown`: it holds an assignment that is not here.
    `renewal` is the push of the assignment while that is acknowledged and nothing stands in the way of saying it again,
    made once; `made` is the assignment as it was made last. In `sheet`, at `place`, are the reports of the Envoy that
    were answered by the renewal and are not reckoned yet. These are no part of the value.
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
    back: float = inf
    probed: float = -inf
    hungry: bool = False
    fresh: bool = True
    silent: bool = False
    gone: bool = False
    abandoned: bool = False
    unknown: bool = False
    renewal: Push | None = None
    made: Assign | None = None
    sheet: UsageSheet | None = None
    place: int = 0

    @property
    def rate(self) -> float:
        """What the assignment comes to."""
        return self.tokens / FILL_INTERVAL_S

    @property
    def live(self) -> bool:
        """Whether it can be told something new."""
        return not (self.silent or self.abandoned)

    def assignment(self, ttl_s: int) -> Assign:
        """What it is told, for so long: the same object while it is the same."""
        made, burst = self.made, self.burst or 1
        if made is None or (made.max_tokens, made.tokens_per_fill, made.ttl_s) != (burst, self.tokens, ttl_s):
            made = self.made = Assign(burst, self.tokens, ttl_s)
        return made

    def renewed(self, ttl_s: int) -> Push:
        """What says the same again, of an assignment that is acknowledged."""
        if self.renewal is None:
            self.renewal = Push(self.envoy, self.seq, self.assignment(ttl_s), asks=False)
            self._let(OPEN)
        return self.renewal

    @property
    def noted(self) -> bool:
        """Whether a report of it waits to be reckoned."""
        return self.sheet is not None and self.sheet.states[self.place] == NOTED

    def sit(self, sheet: UsageSheet, place: int) -> None:
        """Its reports are noted there, from now on."""
        if self.sheet is not sheet or self.place != place:
            self.stand_up()
            self.sheet, self.place = sheet, place
        self._let(CLOSED if self.renewal is None else OPEN)

    def stand_up(self) -> None:
        """Its reports are noted nowhere."""
        self._let(CLOSED)
        self.sheet = None

    def reckon(self, now_s: float) -> None:
        """Add up what came to it until now."""
        self.offered += self.tokens / FILL_INTERVAL_S * (now_s - self.since)
        self.since = now_s

    def await_ack(self, now_s: float) -> None:
        """Its Envoy is asked whether it obeys, or whether it is there."""
        self.pend = now_s
        self._renew_no_more()

    def fall_silent(self) -> None:
        """It may not be there."""
        self.silent = True
        self._renew_no_more()

    def begin_anew(self) -> None:
        """Its bucket is a new one: nothing is in force, but what is on its way there may come to be."""
        self._renew_no_more()
        if self.pend == inf:
            self.hold = 0.0
        self.tokens, self.burst, self.zero = 0, 0, 0
        self.seq += 1  # an acknowledgement of what was before tells nothing of what is now
        self.fresh, self.hungry, self.abandoned = True, False, False
        self.denied = 0.0

    def _renew_no_more(self) -> None:
        self.renewal = None
        self._let(CLOSED)

    def _let(self, state: int) -> None:
        if self.sheet is not None:
            self.sheet.states[self.place] = state

    def pack(self) -> bytes:
        """The row but for its Envoy's name."""
        flags = (
            self.hungry | self.fresh << 1 | self.silent << 2 | self.gone << 3 | self.abandoned << 4 | self.unknown << 5
        )
        return _FORM.pack(flags, *_numbers(self), *_measures(self)) + self.owner.encode()

    @classmethod
    def unpack(cls, envoy: str, packed: bytes) -> "Row":
        """A row from what `pack` made. Raises ValueError where it is not that."""
        try:
            flags, *values = _FORM.unpack_from(packed)
            owner = packed[_FORM.size :].decode()
        except (struct.error, UnicodeDecodeError) as error:
            raise ValueError(f"no row: {error}") from None
        fields = dict(zip((*_NUMBERS, *_MEASURES), values, strict=True))
        fields.update({name: bool(flags >> bit & 1) for bit, name in enumerate(_FLAGS)})
        return cls(envoy, owner, **fields)
