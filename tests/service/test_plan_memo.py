import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.descriptors.loader import ConfigFile, load_config
from ratelimit.limiter.counter_key import exact_counter
from ratelimit.limiter.decision import decide
from ratelimit.limiter.plan import Charge, Verdict
from ratelimit.limiter.planner import Planner
from ratelimit.metrics import LimitStats
from ratelimit.service import plan_memo
from ratelimit.service.messages import parse_request, response_bytes
from ratelimit.service.plan_memo import USELESS_FREED, PlanMemo, PreparedPlan, Statuses
from ratelimit.settings import ResponseSettings
from tests.limiter.plans import NOW, charge, limit, plan
from tests.service.messages_of import descriptor, request


def prepared(
    *steps: Charge | Verdict, message: bytes = b"m", quota_mode: bool = False, **response: bool
) -> PreparedPlan:
    """A plan of these steps, prepared."""
    settings = ResponseSettings.model_validate(response)
    return PreparedPlan(plan(*steps, quota_mode=quota_mode), message, settings, Statuses())


def test_which_way_a_plan_goes() -> None:
    """A single charge has its whole response ready, several their statuses; what needs more goes the full way."""
    alone, several = prepared(charge()), prepared(charge(), Verdict.NO_LIMIT)
    assert (alone.status is not None, alone.single is not None, alone.statuses) == (True, True, None)
    assert (several.status, len(several.statuses or ()), several.single is not None) == (None, 1, False)
    quota = charge(of=limit(1, quota_mode=True))
    for full in (
        prepared(charge(), quota),
        prepared(charge(), charge(), quota_mode=True),
        prepared(charge(), limit_response_headers_enabled=True),
        prepared(charge(), response_dynamic_metadata=True),
        prepared(charge(), shadow_mode=True),
    ):
        assert (full.status, full.statuses) == (None, None)
    assert prepared(charge(amount=0)).single is None


STEPS = st.one_of(
    st.sampled_from(Verdict),
    st.builds(
        lambda most, shadow, amount: charge(of=limit(most, shadow_mode=shadow), amount=amount),
        st.integers(0, 40),
        st.booleans(),
        st.integers(0, 3),
    ),
)


@given(st.lists(st.tuples(STEPS, st.integers(0, 50)), min_size=1, max_size=5))
def test_both_ways_give_the_same_answer(drawn: list[tuple[Charge | Verdict, int]]) -> None:
    """The prepared parts joined are what `decide` and protobuf write."""
    steps = [step for step, _ in drawn]
    counts = [count for step, count in drawn if isinstance(step, Charge)]
    ready = prepared(*steps)
    results = [
        each.algorithm.judge(count, each.requests_per_unit, each.key.reset_s(NOW))
        for each, count in zip(ready.charges, counts, strict=True)
    ]
    decision = decide(ready.plan, results)
    over_limit, settings = decision.over_limit, ResponseSettings()
    full = response_bytes(ready.plan, decision, over_limit=over_limit, settings=settings, asked=b"")
    assert ready.decided(results) == (False, full)
    if ready.status is not None:
        remaining = ready.status.requests_per_unit - counts[0]
        assert (ready.status.within(remaining, NOW) if remaining >= 0 else ready.status.beyond(NOW)) == full
    else:
        assert ready.joined(counts, NOW) == full


def test_what_the_cache_knows_is_over() -> None:
    """A count of None is answered as one above the limit."""
    ready = prepared(charge(3), charge(5))
    assert ready.joined([None, 1], NOW) == ready.joined([4, 1], NOW)


def test_the_oldest_make_room_one_by_one() -> None:
    """A full memo forgets as much as the new entry needs, and no more."""
    size = prepared(charge(), message=b"0").bytes_held
    memo = PlanMemo(3 * size)
    for number in range(5):
        memo.add(prepared(charge(), message=b"%d" % number))
    assert [memo.get(b"%d" % number) is not None for number in range(5)] == [False, False, True, True, True]
    assert (len(memo), memo.bytes_held) == (3, 3 * size)
    memo.add(prepared(charge(), message=b"x" * 4 * size))
    assert len(memo) == 3


def test_a_plan_that_is_made_quickly_is_kept_at_its_second_sight() -> None:
    """What never comes again takes no room; of two whose hashes share a place the last one is remembered."""
    memo, known = PlanMemo(), prepared(charge(), message=b"known")
    for number in range(1000):
        memo.add_seen(prepared(charge(), message=b"%d" % number))
    assert len(memo) == 0
    memo.add_seen(known)
    memo.add_seen(known)
    assert (memo.get(b"known"), len(memo)) == (known, 1)


def test_the_plans_of_the_configuration_before_go_little_by_little() -> None:
    """They are not found any more, count as held, and a few of them are freed with each new one, over reloads too."""
    size = prepared(charge(), message=b"00").bytes_held
    first, number = PlanMemo(100 * size), 20
    for each in range(number):
        first.add(prepared(charge(), message=b"%02d" % each))
    third = first.succeed().succeed()
    assert (third.get(b"00"), len(third), third.bytes_held) == (None, 0, number * size)
    third.add(prepared(charge(), message=b"00"))
    assert number * size - USELESS_FREED * size < third.bytes_held < number * size
    for each in range(1, 5):
        third.add(prepared(charge(), message=b"%02d" % each))
    assert (len(third), third.bytes_held) == (5, 5 * size)


def test_reloads_without_requests_leave_nothing_behind() -> None:
    """A configuration that changes every second, and nobody asks: what the memos hold does not grow."""
    memo = PlanMemo()
    memo.add(prepared(charge()))
    for _ in range(100):
        memo = memo.succeed()
    assert [len(plans) for plans in memo._useless] == [1]


def test_statuses_are_shared_by_limit_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each limit, and the oldest go."""
    monkeypatch.setattr(plan_memo, "STATUSES_MAX", 2)
    statuses, rules = Statuses(), [limit(n) for n in range(3)]
    first = statuses.of(rules[0])
    assert statuses.of(rules[0]) is first
    assert statuses.of(rules[0], alone=True) is not first
    statuses.of(rules[1])
    assert statuses.of(rules[0]) is not first


@pytest.mark.parametrize(("descriptors", "value_bytes"), [(1, 10), (1, 4000), (10, 10), (64, 100)])
def test_an_entry_holds_about_what_is_said(descriptors: int, value_bytes: int) -> None:
    """The bound in bytes is one of memory: what entries really hold is no more than what they are counted as."""
    config = load_config(
        [ConfigFile("f", b"domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 9}}]")]
    )
    planner, memo, stats = Planner(exact_counter, lambda *_: LIMIT_STATS), PlanMemo(10**9), ResponseSettings()
    values = range(60)
    gc.collect()
    tracemalloc.start()
    for number in values:
        value = f"{number}".rjust(value_bytes, "x")
        message = request(*[descriptor(("k", value))] * descriptors)
        ready = PreparedPlan(planner.plan(config, parse_request(message)), message, stats, memo.statuses)
        for each in ready.charges:
            each.turn(NOW, 0)
        memo.add(ready)
    del ready, message, value
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.4 * memo.bytes_held < held < memo.bytes_held, (held, memo.bytes_held)


LIMIT_STATS = LimitStats()
