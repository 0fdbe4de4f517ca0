"""Hits that are charged all or none, on servers that know no transactions.

Theory. First all counters of the groups are looked at, then those groups are charged that fit, and a group of which a
hit went over its limit or failed meanwhile is taken back. So a group that is admitted was within every limit when it
was charged: nothing is admitted beyond a limit. What differs from a script in Redis: for a moment others see hits that
are taken back, and two groups that meet at the edge of a limit may both be denied where one would have fitted.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import COUNT_MAX, Hit
from ratelimit.stores.memcached.commands import Answer
from ratelimit.stores.memcached.pipeline import LATE

Result = Counted | StoreError
Looks = Callable[[Sequence[bytes]], Awaitable[list[Answer]]]
Charges = Callable[[Sequence[tuple[Hit, int]]], Awaitable[list[Answer]]]
InTime = Callable[[], bool]


@dataclass(slots=True, eq=False)
class _Group:
    """The hits of a group. `results` once they are known; `before` is the count each was charged on, as looked at."""

    hits: list[Hit]
    results: list[Result] = field(default_factory=list)
    before: list[int] = field(default_factory=list)


async def charge_groups(hits: Sequence[Hit], now: int, look: Looks, charge: Charges, in_time: InTime) -> list[Result]:
    """The results of hits that all have groups.

    `look` reads the counters of names; `charge` counts hits, each with an amount of its own. Nobody waits for a charge
    that is not `in_time`, so what was looked at is then not charged.
    """
    groups = [_Group(list(members)) for _, members in groupby(hits, key=lambda hit: hit.group)]
    names = list(dict.fromkeys(hit.key.name for hit in hits))
    held = dict(zip(names, await look(names), strict=True))
    for group in groups:
        _decide(group, held, now)
    admitted = [group for group in groups if not group.results]
    if admitted and not in_time():
        for group in admitted:
            group.results = [StoreError(LATE)] * len(group.hits)
        admitted = []
    answers = await charge([(hit, hit.amount) for group in admitted for hit in group.hits]) if admitted else []
    at = 0
    undo: list[tuple[_Group, list[Answer]]] = []
    for group in admitted:
        mine, at = answers[at : at + len(group.hits)], at + len(group.hits)
        if any(isinstance(answer, StoreError) or _went_over(hit, answer) for hit, answer in _pairs(group, mine)):
            undo.append((group, mine))
        else:
            group.results = [_judged(hit, answer, now) for hit, answer in _pairs(group, mine)]
    if undo:
        await _take_back(undo, now, charge)
    return [result for group in groups for result in group.results]


def _decide(group: _Group, held: dict[bytes, Answer], now: int) -> None:
    """Give a group its results where it cannot be charged, else count it in `held`, for the groups after it."""
    for hit in group.hits:
        found = held[hit.key.name]
        if isinstance(found, StoreError):
            group.results = [StoreError(found.reason)] * len(group.hits)
            return
    reached = dict(held)
    counts: list[int] = []
    for hit in group.hits:
        before = _number(reached[hit.key.name])
        counts.append(before + hit.amount)
        reached[hit.key.name] = max(0, before + hit.amount)
        group.before.append(before)
    if any(hit.amount > 0 and hit.stops and count > hit.limit for hit, count in zip(group.hits, counts, strict=True)):
        group.results = [
            _denied(hit, held[hit.key.name], count, now) for hit, count in zip(group.hits, counts, strict=True)
        ]
    else:
        held.update(reached)


async def _take_back(undo: Sequence[tuple[_Group, list[Answer]]], now: int, charge: Charges) -> None:
    """Take back what was counted of groups, and give them their results.

    A refund of a group is charged again by what it can have taken: the count that was there, at most.
    """
    changes = []
    for group, answers in undo:
        for (hit, answer), before in zip(_pairs(group, answers), group.before, strict=True):
            counted = answer is not None and not isinstance(answer, StoreError)
            changes.append((hit, -max(hit.amount, -before) if counted else 0))
    rests = await charge(changes)
    at = 0
    for group, answers in undo:
        mine, at = rests[at : at + len(group.hits)], at + len(group.hits)
        failed = [each for each in answers if isinstance(each, StoreError)]
        if failed:
            unknown = any(each.outcome_unknown for each in failed)
            error = StoreError(failed[0].reason, outcome_unknown=unknown)
            group.results = [error] * len(group.hits)
            continue
        group.results = [
            # What could not be taken back stays charged, and is shown so.
            _denied(hit, answer if isinstance(rest, StoreError) else rest, _number(answer), now)
            for (hit, answer), rest in zip(_pairs(group, answers), mine, strict=True)
        ]


def _pairs(group: _Group, answers: Sequence[Answer]) -> list[tuple[Hit, Answer]]:
    return list(zip(group.hits, answers, strict=True))


def _went_over(hit: Hit, answer: Answer) -> bool:
    return hit.amount > 0 and hit.stops and _number(answer) > hit.limit


def _number(answer: Answer) -> int:
    return min(answer, COUNT_MAX) if isinstance(answer, int) else 0


def _judged(hit: Hit, answer: Answer, now: int) -> Counted:
    return hit.key.algorithm.judge(_number(answer), hit.limit, hit.key.reset_s(now))


def _denied(hit: Hit, left: Answer, wanted: int, now: int) -> Counted:
    """What a hit of a group that is not charged is told: the count that stays, and whether itself it would have fit."""
    count = _number(left)
    return Counted(count, wanted <= hit.limit, max(0, hit.limit - count), hit.key.reset_s(now))
