import pytest

from ratelimit.errors import StoreError
from ratelimit.limiter.algorithm import Counted
from ratelimit.limiter.over_limit_cache import OverLimitCache
from ratelimit.limiter.tick import SharedHit, Sharing, Tick, judged, next_count
from tests.limiter.plans import NOW, Asked, charge, plan


def sharing() -> tuple[Tick, Sharing]:
    """A tick and what finds its hits, without a cache."""
    tick = Tick(NOW, 0.0)
    return tick, Sharing(tick, OverLimitCache(0), lambda each, now: each.turn(now, 0))


def test_charges_of_one_key_share_a_hit() -> None:
    """The same charge leaves it alone in its hit, another one makes it mixed and keeps the smaller limit."""
    tick, find = sharing()
    one, other = charge(9), charge(4, amount=2)
    hit = find.hit_of(one)
    assert find.hit_of(one) is hit
    assert hit is not None
    assert (hit.amount, hit.source, tick.mixed) == (2, one, False)
    assert find.hit_of(other) is hit
    assert (hit.amount, hit.source, hit.limit, tick.mixed) == (4, None, 4, True)


def test_a_plan_that_comes_again_is_added_at_the_end() -> None:
    """Its hits are found once; a refund between does not lose what came before it."""
    tick, find = sharing()
    several = Asked(plan(charge(), charge(counter=b"e:", amount=3)))
    assert find.hits_of(several) is find.hits_of(several)
    find.hit_of(charge(amount=-1))
    find.hits_of(several)
    find.finish()
    assert [(hit.key.name[:1], hit.amount) for hit in tick.hits] == [(b"c", 2), (b"e", 9), (b"c", -1), (b"c", 1)]


def test_a_result_of_ones_own_is_the_stores() -> None:
    """A hit that nobody shares is answered as the store judged it; a shared one by its own count."""
    one, two = charge(9), charge(9)
    own, shared = SharedHit(one), SharedHit(two)
    own.result = Counted(4, allowed=False, remaining=1, reset_s=2)
    shared.amount, shared.result = 2, Counted(7, allowed=True, remaining=2, reset_s=1)
    results = judged((one, two), (own, shared), (4, 6), NOW)
    assert results == [own.result, Counted(6, allowed=True, remaining=3, reset_s=60 - NOW % 60)]


def test_what_was_not_counted_is_raised() -> None:
    """The first error of a request is the request's."""
    failed = SharedHit(charge())
    failed.result = StoreError("poisoned")
    count = next_count(failed, charge())
    with pytest.raises(StoreError, match="poisoned"):
        judged((charge(),), (failed,), (count,), NOW)
    assert next_count(None, charge()) is None


def test_what_the_cache_knew_is_told_of_the_window_it_was_asked_in() -> None:
    """A window that turned while the other charges of the request were counted changes nothing."""
    known = charge()
    last = NOW - NOW % 60 + 59
    known.turn(last + 1, 0)
    assert judged((known,), (None,), (None,), last) == [Counted(11, allowed=False, remaining=0, reset_s=1)]
