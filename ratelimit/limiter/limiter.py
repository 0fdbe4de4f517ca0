"""The batch of one loop tick: plans in, one call to the store, decisions out.

    submit ─► queue of this tick ─► flush: one timestamp, over-limit cache, equal keys merged ─► CounterStore.count
           ◄─ decide, per request, with the counts split back in arrival order ◄────────────────┘

Equal keys are merged only while all their amounts are positive: then the count after each is the total less what came
after it. A look or a refund keeps its place in the order, so the key is counted hit by hit.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ratelimit.clock import Clock
from ratelimit.errors import StoreError
from ratelimit.limiter.counter_store import CounterStore, Hit
from ratelimit.limiter.decision import Decision, DecisionRules, decide
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import Charge, Plan
from ratelimit.limiter.window import window_start

Decided = Callable[[Decision | StoreError], None]
Schedule = Callable[[Callable[[], None]], object]


@dataclass(frozen=True, slots=True)
class LimiterOptions:
    """Bounds and rules: `expiration_jitter_max_s` is added at random to expiries, in seconds."""

    rules: DecisionRules = field(default_factory=DecisionRules)
    expiration_jitter_max_s: int = 300
    pending_hits_max: int = 100_000


@dataclass(slots=True)
class _Waiting:
    plan: Plan
    charges: list[Charge]
    done: Decided
    keys: list[bytes] = field(default_factory=list)
    cached: list[bool] = field(default_factory=list)


class Limiter:
    """Counts plans against a store and decides them.

    `schedule` runs a function once, soon: the event loop's `call_soon`. `pending` is the number of hits that wait for
    the store.
    """

    def __init__(
        self,
        store: CounterStore,
        clock: Clock,
        schedule: Schedule,
        cache: OverLimitCache,
        options: LimiterOptions | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._schedule = schedule
        self._cache = cache
        self._options = options or LimiterOptions()
        self._queue: list[_Waiting] = []
        self._jitter = random.Random()  # noqa: S311 - it spreads expiries, nothing secret
        self.pending = 0

    def submit(self, plan: Plan, done: Decided) -> None:
        """Decide `plan`; `done` is called once, before this returns only where nothing is to be counted."""
        charges = [step for step in plan.steps if isinstance(step, Charge)]
        if not charges:
            done(decide(plan, (), int(self._clock.now()), self._options.rules))
            return
        if self.pending + len(charges) > self._options.pending_hits_max:
            done(StoreError(f"{self.pending} hits already wait for the store (PENDING_HITS_MAX)"))
            return
        self.pending += len(charges)
        if not self._queue:
            self._schedule(self._flush)
        self._queue.append(_Waiting(plan, charges, done))

    def _flush(self) -> None:
        batch, self._queue = self._queue, []
        now = int(self._clock.now())
        hits: list[Hit] = []
        for waiting in batch:
            self._add_hits(waiting, now, hits)
        if not hits:
            self._answer(batch, [], now)
            return
        merged, places = merge(hits)
        self._store.count(
            merged,
            lambda counts: self._answer(
                batch, counts if isinstance(counts, StoreError) else split(hits, counts, places), now
            ),
        )

    def _add_hits(self, waiting: _Waiting, now: int, hits: list[Hit]) -> None:
        for charge in waiting.charges:
            unit = charge.limit.unit
            key = charge.counter + b"%d" % window_start(unit, now)
            over = (
                self._cache.enabled
                and charge.amount >= 0
                and self._cache.is_over(key, charge.limit.requests_per_unit, now)
            )
            waiting.keys.append(key)
            waiting.cached.append(over)
            if not over:
                hits.append(Hit(key, charge.amount, unit.seconds + self._expiry_jitter()))

    def _expiry_jitter(self) -> int:
        most = self._options.expiration_jitter_max_s
        return int(self._jitter.random() * most) if most > 0 else 0

    def _answer(self, batch: list[_Waiting], counts: Sequence[int] | StoreError, now: int) -> None:
        following = iter(()) if isinstance(counts, StoreError) else iter(counts)
        failed: list[Exception] = []
        for waiting in batch:
            self.pending -= len(waiting.charges)
            try:
                if isinstance(counts, StoreError) and not all(waiting.cached):
                    waiting.done(counts)
                    continue
                known = [None if cached else next(following) for cached in waiting.cached]
                self._remember(waiting, known, now)
                waiting.done(decide(waiting.plan, known, now, self._options.rules))
            except Exception as error:  # noqa: BLE001 - one caller's fault must not take the others' answers
                failed.append(error)
        if failed:
            raise failed[0]

    def _remember(self, waiting: _Waiting, counts: Sequence[int | None], now: int) -> None:
        if not self._cache.enabled:
            return
        for charge, key, count in zip(waiting.charges, waiting.keys, counts, strict=True):
            if charge.amount < 0:
                self._cache.forget(key)
            elif count is not None and count > charge.limit.requests_per_unit:
                end = window_start(charge.limit.unit, now) + charge.limit.unit.seconds
                self._cache.add(key, charge.limit.requests_per_unit, end)


def merge(hits: Sequence[Hit]) -> tuple[list[Hit], list[int]]:
    """Make one hit of the sum of all hits of a key with only positive amounts.

    Returns the hits to count, in the order of their first arrival, and for each given hit the place of its count.
    """
    sums: dict[bytes, int] = {}
    for hit in hits:
        so_far = sums.get(hit.key, 0)
        sums[hit.key] = -1 if hit.amount <= 0 or so_far < 0 else so_far + hit.amount
    merged: list[Hit] = []
    places: list[int] = []
    first: dict[bytes, int] = {}
    for hit in hits:
        total = sums[hit.key]
        if total < 0:
            places.append(len(merged))
            merged.append(hit)
            continue
        if hit.key not in first:
            first[hit.key] = len(merged)
            merged.append(Hit(hit.key, total, hit.expire_s))
        places.append(first[hit.key])
    return merged, places


def split(hits: Sequence[Hit], counts: Sequence[int], places: Sequence[int]) -> list[int]:
    """Give each hit its own count back, as if the hits had come one by one."""
    if len(hits) == len(counts):
        return list(counts)
    later: dict[int, int] = {}
    result = [0] * len(hits)
    for index in range(len(hits) - 1, -1, -1):
        place = places[index]
        result[index] = counts[place] - later.get(place, 0)
        later[place] = later.get(place, 0) + hits[index].amount
    return result
