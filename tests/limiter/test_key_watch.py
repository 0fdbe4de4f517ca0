from typing import Any

from ratelimit.errors import StoreError
from ratelimit.limiter import key_watch
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.key_watch import KeyWatch, merged
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.plan import Charge
from ratelimit.limiter.tick import OwnHit, Sharing, Tick
from tests.limiter.plans import NOW, Asked, charge, plan


def tick_of(*charges: Charge, counts: dict[bytes, int] | None = None, now: int = NOW, at: float = 0.0) -> Tick:
    """A tick of single charges, counted; `counts` says what stands in the store before it."""
    tick = Tick(now, at)
    sharing = Sharing(tick, OverLimitCache(0), lambda each, at: each.turn(at, 0))
    for each in charges:
        sharing.hit_of(each)
    for hit in tick.hits:
        count = (counts or {}).get(hit.key.name.rstrip(b"0123456789"), 0) + hit.amount
        hit.result = Counted(count, allowed=count <= hit.limit, remaining=0, reset_s=1)
    return tick


def names(rows: list[list[Any]]) -> dict[str, float]:
    """The rates by name."""
    return {text["name"]: rate for _, text, rate, _ in rows}


def test_hits_and_what_is_over_are_told_a_second() -> None:
    """By counter, whatever its window; what is over as the metrics count it, refunds and looks not at all."""
    watch = KeyWatch(0.0)
    one, other = charge(10, counter=b"a:"), charge(10, counter=b"b:")
    watch.decided(tick_of(*[one] * 6, other, charge(counter=b"a:", amount=-3), charge(counter=b"c:", amount=0)))
    watch.decided(tick_of(*[one] * 6, counts={b"a:": 6}, now=NOW + 60))
    told = watch.rates(2.0)
    assert names(told["busiest"]) == {"a:": 6.0, "b:": 0.5}
    assert names(told["over"]) == {"a:": 1.0}
    assert told["step"] == 1


def test_what_was_fades() -> None:
    """After FADE_S without hits half is left of a rate, and after a while nothing."""
    watch = KeyWatch(0.0)
    watch.decided(tick_of(*[charge(counter=b"a:")] * 4))
    assert names(watch.rates(1.0)["busiest"]) == {"a:": 4.0}
    assert names(watch.rates(1.0 + key_watch.FADE_S)["busiest"])["a:"] < 1.0
    watch.rates(100.0)
    assert watch.rates(101.0)["busiest"] == []


def test_hits_of_one_request_are_over_as_the_store_judged_them() -> None:
    """What is not charged is over with its whole amount; what could not be counted is not told."""
    watch, tick = KeyWatch(0.0), Tick(NOW, 0.0)
    denied, allowed, failed = (OwnHit(charge(counter=name, amount=2), 0, 0) for name in (b"a:", b"b:", b"c:"))
    denied.result = Counted(10, allowed=False, remaining=0, reset_s=1)
    allowed.result = Counted(2, allowed=True, remaining=8, reset_s=1)
    failed.result = StoreError("gone")
    tick.hits = [denied, allowed, failed]
    watch.decided(tick)
    told = watch.rates(1.0)
    assert names(told["busiest"]) == {"a:": 2.0, "b:": 2.0}
    assert names(told["over"]) == {"a:": 2.0}


def test_what_the_cache_knew_is_over() -> None:
    """Requests that needed no store, and charges of others that were known while the rest was counted."""
    watch = KeyWatch(0.0)
    known = Tick(NOW, 0.0)
    one, other = charge(counter=b"a:"), charge(counter=b"b:", amount=0)
    known.plans = [Asked(plan(one)), Asked(plan(one, other)), Asked(plan())]
    watch.known(known)
    partly = tick_of(charge(counter=b"b:"))
    partly.partly_known = True
    partly.plans, partly.shares = [Asked(plan(one, other)), Asked(plan(one))], [[None, partly.hits[0]], partly.hits[0]]
    watch.decided(partly)
    told = watch.rates(1.0)
    assert names(told["busiest"]) == {"a:": 3.0, "b:": 1.0}
    assert names(told["over"]) == {"a:": 3.0}


def test_of_many_hits_some_are_looked_at_and_counted_as_many() -> None:
    """So the time it takes is bounded, and rates stay right; with few hits it looks at all of them again."""
    watch = KeyWatch(0.0)
    keys = [charge(counter=b"%d:" % number) for number in range(400)]
    busy, step = charge(counter=b"a:", amount=400), 0
    for number in range(200):
        watch.decided(tick_of(busy, *keys, at=number / 20))
        step = max(step, watch.step)
    assert step > 4
    told = watch.rates(10.0)
    assert told["busiest"][0][1] == {"name": "a:"}
    assert 3_000 < told["busiest"][0][2] < 21_000  # 8,000, of some twenty looks
    for number in range(40):
        watch.decided(tick_of(busy, at=20.0 + number))
    assert watch.step == 1


def test_processes_are_added_up() -> None:
    """Rates of the same key; the most come first, and no more than TOLD_MAX of them."""
    row = ["x", {"name": "a"}, 1.5, 0.25]
    many = [[str(number), {"name": "b"}, 1.0, 0.0] for number in range(key_watch.TOLD_MAX)]
    whole = merged([{"busiest": [row, *many], "over": [], "step": 2}, {"busiest": [row], "over": [row], "step": 4}])
    assert whole["busiest"][0] == ["x", {"name": "a"}, 3.0, 0.5]
    assert len(whole["busiest"]) == key_watch.TOLD_MAX
    assert (whole["over"], whole["step"]) == ([row], 4)
    assert merged([]) == {"step": 1, "busiest": [], "over": []}
