"""One tick of the event loop: its requests, the hits that they share, and the counts told apart again.

Theory. All requests of a tick that touch the same key become one hit of the sum, a `SharedHit`. The store answers with
the count after all of them, so the count before them is that less the sum; each request then adds its own amount again,
in the order of arrival, and sees the count that it would have seen alone. That needs amounts above 0: a look or a
refund is a hit of its own, and ends the sharing of its key, so what comes later stays behind it in the batch. Hits of
algorithms that do not add up, and those that are charged together, are each request's own too: an `OwnHit`.

What is handed back is a whole tick: lists side by side (who asked, by which plan, and what it came to), since an
object per request is what the hot path cannot afford.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import UNGROUPED, Hit
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import Charge
from ratelimit.limiter.window import window_of


class Submitted(Protocol):
    """What is to be counted for a request."""

    @property
    def charges(self) -> tuple[Charge, ...]:
        """What it is charged."""

    @property
    def amounts(self) -> tuple[int, ...]:
        """The amount of each charge."""

    @property
    def together(self) -> int:
        """The sign of `Hit.group` for its charges, 0 where each is charged by itself."""

    @property
    def own(self) -> bool:
        """Whether its hits are shared with no other request."""

    @property
    def single(self) -> Charge | None:
        """The charge of a plan that is just that, of an amount above 0."""


Count = int | StoreError | None
"""The count after the hits of a charge; None where the over-limit cache knew; or why it could not be counted."""


class SharedHit(Hit):
    """The hit that requests of one tick share: each of them that reaches its key, with an amount above 0.

    `source` is the charge that all of them come from, None where there are several. `result` is the store's, for the
    sum. `count` is the count before the request that comes next.
    """

    __slots__ = ("count", "result", "source")

    def __init__(self, charge: Charge) -> None:
        self.key = charge.key
        self.amount = charge.amount
        self.limit = charge.requests_per_unit
        self.group = UNGROUPED
        self.source: Charge | None = charge
        self.result: Counted | StoreError | None = None
        self.count = 0

    def share_with(self, charge: Charge) -> None:
        """Take in another charge of the same key, which may have another limit: the smaller one is kept."""
        self.source = None
        self.limit = min(self.limit, charge.requests_per_unit)


class OwnHit(SharedHit):
    """The hit of one request alone: its result is the request's. It has no `source`, since its count tells not all."""

    __slots__ = ("charge",)

    def __init__(self, charge: Charge, group: int, at_ms: int) -> None:
        super().__init__(charge)
        self.at_ms = at_ms
        self.charge = charge
        self.source = None
        self.group = group
        self.stops = _stops(charge, group)


def _stops(charge: Charge, group: int) -> bool:
    """Whether it concerns the others of its group that a charge goes over its limit.

    In a group of all or none, a limit that denies nothing by itself must not keep the others from being charged.
    """
    return group < 0 or not (charge.limit.shadow_mode or charge.limit.quota_mode)


class Tick:
    """What one tick came to: one element per request in each list, in arrival order.

    For a plan with a single charge `counts` holds its `Count` and `shares` its hit, None where the over-limit cache
    knew; for any other plan a list of them, one per charge. `hits` are those sent to the store, `now` is the tick's
    moment in unix seconds, `now_ms` in milliseconds, `started` when its first request came, in the event loop's time.
    And what it is like:

    - `counted`: the store has answered
    - `mixed`: one of its hits has several sources
    - `in_steps`: a look or a refund parts the hits of a key
    - `partly_known`: the over-limit cache knew some charge of a request that had others
    - `own`: those of its hits that are one request's own
    - `whole`: every count is a number
    """

    __slots__ = (
        "callers",
        "counted",
        "counts",
        "hits",
        "in_steps",
        "mixed",
        "now",
        "now_ms",
        "own",
        "partly_known",
        "plans",
        "shares",
        "started",
        "whole",
    )

    def __init__(self, now: int, started: float) -> None:
        self.now = now
        self.now_ms = now * 1000
        self.started = started
        self.counted = False
        self.mixed = False
        self.in_steps = False
        self.whole = False
        self.partly_known = False
        self.callers: list[Any] = []
        self.plans: list[Any] = []
        self.shares: list[Any] = []
        self.hits: list[SharedHit] = []
        self.own: list[OwnHit] = []
        self.counts: list[Any] = []


class Sharing:
    """Finds the hits of a tick that a request shares, or makes them. `turn` readies a charge for a second.

    A plan of several charges that comes again in the tick is only counted, and its amounts are added once, in `finish`.
    """

    __slots__ = ("_again", "_cache", "_hits_of", "_over", "_shared", "_tick", "_turn")

    def __init__(self, tick: Tick, cache: OverLimitCache, turn: Callable[[Charge, int], None]) -> None:
        self._tick = tick
        self._cache = cache
        self._turn = turn
        self._shared: dict[bytes, SharedHit] = {}
        # What was found in the cache; within a tick it stays there.
        self._over: set[Charge] = set()
        self._again: dict[Submitted, int] = {}
        self._hits_of: dict[Submitted, list[SharedHit | None]] = {}

    def hit_of(self, charge: Charge) -> SharedHit | None:
        """The hit of one charge; None where the over-limit cache knows its key."""
        tick = self._tick
        if charge.turned_at != tick.now:
            self._turn(charge, tick.now)
        name, amount = charge.key.name, charge.amount
        share = self._shared.get(name)
        if share is not None and amount > 0:
            share.amount += amount
            if share.source is not charge:
                tick.mixed = True
                share.share_with(charge)
            return share
        if charge in self._over:
            self._cache.hits += 1
            return None
        if self._cache.enabled and amount >= 0 and self._cache.is_over(name, charge.requests_per_unit, tick.now):
            self._over.add(charge)
            return None
        share = SharedHit(charge)
        tick.hits.append(share)
        if amount > 0:
            self._shared[name] = share
        else:  # what comes later stays behind it, in another hit of the same key
            tick.in_steps = True
            self.finish()
            self._shared.pop(name, None)
        return share

    def hits_of(self, plan: Submitted) -> list[SharedHit | None]:
        """The hits of several charges, in their order."""
        known = self._hits_of.get(plan)
        if known is not None:
            self._again[plan] += 1
            return known
        if plan.own:
            return self._own_hits(plan)
        hits = [self.hit_of(charge) for charge in plan.charges]
        if None in hits:
            self._tick.partly_known = True
        elif all(charge.amount > 0 for charge in plan.charges):
            self._hits_of[plan], self._again[plan] = hits, 0
        return hits

    def _own_hits(self, plan: Submitted) -> list[SharedHit | None]:
        """Hits for this request alone; what comes later to their keys stays behind them in the batch."""
        tick = self._tick
        tick.in_steps = True
        self.finish()
        known = self._known_of(plan) if plan.together else set()
        group = plan.together * (len(tick.hits) + 1)
        hits: list[SharedHit | None] = []
        made: list[OwnHit] = []
        for charge in plan.charges:
            if charge.turned_at != tick.now:
                self._turn(charge, tick.now)
            if charge in known:
                hits.append(None)
            elif charge.algorithm.mergeable and not group:
                hits.append(self.hit_of(charge))
            else:
                grouped = charge.algorithm.mergeable
                hit = OwnHit(charge, group if grouped else UNGROUPED, tick.now_ms)
                if known and grouped and hit.amount > 0:  # one of the group is over: nothing more is charged
                    hit.amount = 0
                self._shared.pop(charge.key.name, None)
                made.append(hit)
                hits.append(hit)
        # A group stands side by side; what is not of it comes after.
        made.sort(key=lambda hit: hit.group == UNGROUPED)
        tick.hits += made
        tick.own += made
        if None in hits:
            tick.partly_known = True
        return hits

    def _known_of(self, plan: Submitted) -> set[Charge]:
        """Those charges that the over-limit cache knows to be over."""
        if not self._cache.enabled:
            return set()
        known = set()
        for charge in plan.charges:
            if charge.turned_at != self._tick.now:
                self._turn(charge, self._tick.now)
            if charge.amount < 0 or not _stops(charge, plan.together):
                continue
            if self._cache.is_over(charge.key.name, charge.requests_per_unit, self._tick.now):
                known.add(charge)
        return known

    def finish(self) -> None:
        """Add the amounts of the plans that came again."""
        if not self._again:
            return
        for plan, times in self._again.items():
            if times:
                for hit, charge in zip(self._hits_of[plan], plan.charges, strict=True):
                    assert hit is not None  # noqa: S101 - only such plans are kept
                    hit.amount += charge.amount * times
        self._again.clear()
        self._hits_of.clear()


def judged(
    charges: Sequence[Charge], shares: Sequence[SharedHit | None], counts: Sequence[Count], now: int
) -> list[Counted]:
    """What each charge of a request came to, by its algorithm. Raises the StoreError of one that was not counted."""
    results = []
    for charge, share, count in zip(charges, shares, counts, strict=True):
        if isinstance(count, StoreError):
            raise count
        if share is None or count is None:
            # Not `charge.key`: while the rest of the request was counted, its window may have turned.
            left_s = window_of(charge.limit, now).reset_s(now)
            results.append(Counted(charge.requests_per_unit + 1, allowed=False, remaining=0, reset_s=left_s))
        elif isinstance(share.result, Counted) and (
            (share.source is charge and share.amount == charge.amount) or share.__class__ is OwnHit
        ):
            results.append(share.result)
        else:
            results.append(charge.algorithm.judge(count, charge.requests_per_unit, share.key.reset_s(now)))
    return results


def tell_apart(tick: Tick) -> None:
    """Give each request its counts, as if they had come one by one; every hit of the tick was counted."""
    counts = tick.counts
    before: dict[Submitted, list[int]] = {}
    for plan, share in zip(tick.plans, tick.shares, strict=True):
        charge = plan.single
        if charge is not None:
            share.count = count = share.count + charge.amount
            counts.append(count)
        elif tick.mixed or tick.in_steps:
            counts.append([next_count(hit, by) for hit, by in zip(share, plan.charges, strict=True)])
        else:  # nobody else shares its hits, and all its requests share the same: only they lie between
            after = before.get(plan) or [hit.count for hit in share]
            before[plan] = after = list(map(operator.add, after, plan.amounts))
            counts.append(after)


def tell_apart_with_failures(tick: Tick) -> None:
    """Likewise where some hits were not counted, or were known without the store."""
    for plan, share in zip(tick.plans, tick.shares, strict=True):
        shares = share if plan.single is None else [share]
        counts = [next_count(hit, charge) for hit, charge in zip(shares, plan.charges, strict=True)]
        tick.counts.append(counts if plan.single is None else counts[0])


def next_count(share: SharedHit | None, charge: Charge) -> Count:
    """The count after the next request that comes from `charge`, or why there is none."""
    if share is None:
        return None
    if isinstance(share.result, StoreError):
        return share.result
    share.count += charge.amount
    return share.count
