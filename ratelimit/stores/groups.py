"""Hits that are charged together, on servers whose counters no one step can reach: memcached, and a Cluster's slots.

Theory. First all counters of the groups are looked at; what is charged is decided by that.

A group that is charged all or none is charged where it fits, and taken back where a hit went over its limit or failed
meanwhile. So a group that is admitted was within every limit when it was charged: nothing is admitted beyond a limit.
What differs from a script: for a moment others see hits that are taken back, and two groups that meet at the edge of a
limit may both be denied where one would have fitted.

Of a group of which only that is charged what goes over, if anything does (`Hit.group` < 0), nothing is taken back: who
comes between look and charge may have the others charged beside a hit that went over, as with envoyproxy/ratelimit.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import COUNT_MAX, UNGROUPED, Hit
from ratelimit.stores.refusals import LATE

Answer = int | StoreError | None
"""The count after a command, None where there is no such counter, or why it was not counted."""
Result = Counted | StoreError
Looks = Callable[[Sequence[bytes]], Awaitable[Sequence[Answer]]]
Charges = Callable[[Sequence[tuple[Hit, int]]], Awaitable[Sequence[Answer]]]
InTime = Callable[[], bool]


@dataclass(slots=True, eq=False)
class _Group:
    """The hits of a group. `results` once they are known; `before` is the count each was charged on, as looked at.

    `charged` are the places of those hits that are to be charged.
    """

    hits: list[Hit]
    results: list[Result | None] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    charged: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.results = [None] * len(self.hits)

    @property
    def whole(self) -> bool:
        """Whether it is charged all or none."""
        return self.hits[0].group > UNGROUPED


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
    if any(group.charged for group in groups) and not in_time():
        for group in groups:
            for place in group.charged:
                group.results[place] = StoreError(LATE)
            group.charged = []
    asked = [group.hits[place] for group in groups for place in group.charged]
    answers = iter(await charge([(hit, hit.amount) for hit in asked]) if asked else [])
    undo: list[tuple[_Group, list[Answer]]] = []
    for group in groups:
        mine = [next(answers) for _ in group.charged]
        if group.whole and any(
            isinstance(each, StoreError) or _went_over(hit, each) for hit, each in _pairs(group, mine)
        ):
            undo.append((group, mine))
            continue
        for place, answer in zip(group.charged, mine, strict=True):
            group.results[place] = _judged(group.hits[place], answer, now)
    if undo:
        await _take_back(undo, now, charge)
    return [result for group in groups for result in group.results if result is not None]


def _decide(group: _Group, held: dict[bytes, Answer], now: int) -> None:
    """Say which hits of a group are charged and count them in `held`, for the groups after it; the rest has results."""
    for hit in group.hits:
        found = held[hit.key.name]
        if isinstance(found, StoreError):
            group.results = [StoreError(found.reason)] * len(group.hits)
            return
    reached: dict[bytes, int] = {}
    counts: list[int] = []
    for hit in group.hits:
        before = _number(held[hit.key.name])
        before = reached.get(hit.key.name, before) if group.whole else before
        counts.append(before + hit.amount)
        reached[hit.key.name] = max(0, before + hit.amount)
        group.before.append(before)
    over = [count > hit.limit for hit, count in zip(group.hits, counts, strict=True)]
    # In a group of all or none a look asks for nothing; in the other kind it is over as well as a hit.
    least = 1 if group.whole else 0
    if not any(is_over and hit.stops and hit.amount >= least for hit, is_over in zip(group.hits, over, strict=True)):
        group.charged = list(range(len(group.hits)))
    else:
        group.charged = [] if group.whole else [place for place, is_over in enumerate(over) if is_over]
    for place, (hit, count) in enumerate(zip(group.hits, counts, strict=True)):
        shown = _number(held[hit.key.name])
        if place in group.charged:
            held[hit.key.name] = max(0, shown + hit.amount)
        else:
            group.results[place] = _denied(hit, held[hit.key.name], count if group.whole else shown, now)


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
    return [(group.hits[place], answer) for place, answer in zip(group.charged, answers, strict=True)]


def _went_over(hit: Hit, answer: Answer) -> bool:
    return hit.amount > 0 and hit.stops and _number(answer) > hit.limit


def _number(answer: Answer) -> int:
    return min(answer, COUNT_MAX) if isinstance(answer, int) else 0


def _judged(hit: Hit, answer: Answer, now: int) -> Result:
    if isinstance(answer, StoreError):
        return answer
    return hit.key.algorithm.judge(_number(answer), hit.limit, hit.key.reset_s(now))


def _denied(hit: Hit, left: Answer, wanted: int, now: int) -> Counted:
    """What a hit of a group that is not charged is told: the count that stays, and whether itself it would have fit."""
    count = _number(left)
    return Counted(count, wanted <= hit.limit, max(0, hit.limit - count), hit.key.reset_s(now))
