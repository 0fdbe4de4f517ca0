"""Groups of hits whose keys lie in different slots of a Cluster: no script can charge them, so it is done in stages.

A batch is counted in its order, as far as anybody can see that: hits on different keys may change places. So its hits
are put into as few stages as keep those on each key in order, one stage after the other: first what scripts count,
then groups that cross slots, which `stores.groups` looks at and then charges, then scripts again.

Such keys are of COUNTER_KEY_FORMAT=reference only, which knows no hash tags.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby

from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.counter_store import UNGROUPED, Hit, Results
from ratelimit.stores.groups import Answer, InTime, charge_groups
from ratelimit.stores.redis.slots import slot_of

Stage = tuple[bool, list[int]]
"""Whether its groups cross slots, and the places of its hits in the batch."""
Counts = Callable[[Sequence[Hit]], Awaitable[Results]]


def stages_of(hits: Sequence[Hit]) -> list[Stage] | None:
    """The stages of a batch, None where no group crosses slots."""
    if not any(hit.group for hit in hits):
        return None
    units = _units(hits)
    crossing = [len({slot_of(hits[place].key.name) for place in unit}) > 1 for unit in units]
    if not any(crossing):
        return None
    stages: dict[int, list[int]] = {}
    last: dict[bytes, int] = {}
    for unit, crosses in zip(units, crossing, strict=True):
        names = {hits[place].key.name for place in unit}
        # Even stages are for scripts, odd ones for groups that cross slots; none is before that of another unit's key.
        number = max(last.get(name, 0) for name in names)
        number += (number + crosses) % 2
        stages.setdefault(number, []).extend(unit)
        last.update(dict.fromkeys(names, number))
    return [(number % 2 == 1, stages[number]) for number in sorted(stages)]


def _units(hits: Sequence[Hit]) -> list[list[int]]:
    """The places of hits that belong together: those of a group, and each other hit by itself."""
    kinds = [(hit.group, place if hit.group == UNGROUPED else -1) for place, hit in enumerate(hits)]
    return [list(places) for _, places in groupby(range(len(hits)), key=lambda place: kinds[place])]


async def charge_crossing(hits: Sequence[Hit], now: int, count: Counts, in_time: InTime) -> Results:
    """Charge groups that cross slots, if `in_time`; `count` counts hits that have no groups, each by itself."""
    by_name = {hit.key.name: hit for hit in hits}

    async def charge(asked: Sequence[tuple[Hit, int]]) -> list[Answer]:
        # Made anew: the limiter's own hits are of kinds that know more.
        results = await count([Hit(hit.key, amount, hit.limit) for hit, amount in asked])
        return [each.count if isinstance(each, Counted) else each for each in results]

    async def look(names: Sequence[bytes]) -> list[Answer]:
        return await charge([(by_name[name], 0) for name in names])

    return await charge_groups(hits, now, look, charge, in_time)
