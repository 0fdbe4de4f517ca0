"""Which keys are hit most and which are over their limit most, while somebody watches.

It is fed once for each tick, and looks at the hits that the tick sent: requests that share a key are one hit already.
Of many hits it looks at every so-many-th one, by chance, and counts that as so many: the step grows as soon as more
than LOOKS_MAX hits a second were looked at. So what it takes of the loop is bounded, whatever comes. Rates are of the
last seconds: what was counted fades by half every FADE_S.

What the over-limit cache knew was sent nowhere; those requests are looked at instead, likewise.
"""

import hashlib
import random
from collections.abc import Iterable, Sequence
from typing import Any

from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_text import counter_text
from ratelimit.limiter.space_saving import SpaceSaving
from ratelimit.limiter.tick import OwnHit, SharedHit, Tick

COUNTERS = 256
TOLD_MAX = 20
# Some 1.5 µs each.
LOOKS_MAX = 1_000
PERIOD_S = 0.25
FADE_S = 4.0
_DIGITS = b"0123456789"


class KeyWatch:
    """Begins at the moment `now`, in seconds of any clock."""

    def __init__(self, now: float) -> None:
        self._hits = SpaceSaving(COUNTERS)
        self._over = SpaceSaving(COUNTERS)
        self._at = now
        # The seconds that the counts are of, faded as they are.
        self._seconds = 0.0
        self._looks = 0
        self._period = 0
        # So many hits are passed over first.
        self._next = 0
        self.step = 1

    def decided(self, tick: Tick) -> None:
        """Note the hits of a tick that the store has counted."""
        for hit in self._some(tick.hits, tick.started):
            if hit.amount > 0 and hit.result.__class__ is Counted:
                name = hit.key.name.rstrip(_DIGITS)  # the window's start
                self._hits.add(name, hit.amount * self.step)
                over = _over(hit)
                if over > 0:
                    self._over.add(name, over * self.step)
        if tick.partly_known:
            requests = list(zip(tick.plans, tick.shares, strict=True))
            for plan, share in self._some(requests, tick.started):
                if plan.single is None:
                    self._known([charge for charge, hit in zip(plan.charges, share, strict=True) if hit is None])

    def known(self, tick: Tick) -> None:
        """Note the requests of a tick that needed no store."""
        for plan in self._some(tick.plans, tick.started):
            self._known(plan.charges)

    def rates(self, now: float) -> dict[str, Any]:
        """What was noted, a second, and let it fade.

        `busiest` and `over` have an identity, what `counter_text` reads of the key, the rate, and by how much that may
        be too high; `step` is of how many hits one was looked at.
        """
        passed = max(0.0, now - self._at)
        self._at = now
        self._seconds += passed
        seconds = max(self._seconds, PERIOD_S)
        told = {"busiest": _told(self._hits, seconds), "over": _told(self._over, seconds), "step": self.step}
        factor = 0.5 ** (passed / FADE_S)
        self._seconds *= factor
        self._hits.fade(factor)
        self._over.fade(factor)
        return told

    def _known(self, charges: Iterable[Any]) -> None:
        for charge in charges:
            if charge.amount > 0:
                self._hits.add(charge.counter, charge.amount * self.step)
                self._over.add(charge.counter, charge.amount * self.step)

    def _some(self, each: Sequence[Any], at: float) -> Sequence[Any]:
        """Those to look at: one in `step` on average, with gaps by chance, since ticks may be alike."""
        self._pace(at)
        step, place = self.step, self._next
        if step == 1:
            found = each
            self._next = 0
        else:
            found = []
            while place < len(each):
                found.append(each[place])
                place += random.randrange(1, 2 * step)  # noqa: S311 - a sample, nothing secret
            self._next = place - len(each)
        self._looks += len(found)
        return found

    def _pace(self, at: float) -> None:
        """Find the step by how many were looked at."""
        period = int(at / PERIOD_S)
        if self._looks > LOOKS_MAX * PERIOD_S:
            self.step *= 2
            self._looks = 0
        elif period != self._period:
            if self.step > 1 and self._looks * 4 < LOOKS_MAX * PERIOD_S:
                self.step //= 2
            self._period, self._looks = period, 0


def merged(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What several processes noted, as one: rates of the same key are added."""
    whole: dict[str, Any] = {"step": max((part["step"] for part in parts), default=1)}
    for kind in ("busiest", "over"):
        rows: dict[str, list[Any]] = {}
        for identity, text, rate, error in (row for part in parts for row in part[kind]):
            row = rows.setdefault(identity, [identity, text, 0.0, 0.0])
            row[2], row[3] = round(row[2] + rate, 2), round(row[3] + error, 2)
        whole[kind] = sorted(rows.values(), key=lambda row: -row[2])[:TOLD_MAX]
    return whole


def _told(sketch: SpaceSaving, seconds: float) -> list[list[Any]]:
    return [
        [
            hashlib.blake2b(name, digest_size=8).hexdigest(),
            counter_text(name),
            round(count / seconds, 2),
            round(error / seconds, 2),
        ]
        for name, count, error in sketch.most(TOLD_MAX)
    ]


def _over(hit: SharedHit) -> int:
    """How much of a hit was over its limit, as the metrics count it."""
    assert isinstance(hit.result, Counted)  # noqa: S101 - the caller has looked
    if hit.__class__ is OwnHit:
        return 0 if hit.result.allowed else hit.amount
    return hit.result.count - max(hit.limit, hit.result.count - hit.amount)
